/** Tells once how many texts are guesses, since their images are unlike all that the model was trained on. */
import type { Job } from '@blip2/shared/schemas/jobs/job';
import type { Api } from './api.ts';
import { CliError } from './failure.ts';

/** What a line has that has the warning, and no text can have: there quotes and ends of lines are escaped, or quoted. */
const MARKS = {
  jsonl: '"type":"outside-training"',
  csv: ',outside-training\r\n',
} as const;

/** Counts the lines of results that have the warning, as they come. */
export class WarningCount {
  readonly #mark: string;
  #rest = '';
  #count = 0;

  constructor(format: keyof typeof MARKS) {
    this.#mark = MARKS[format];
  }

  /** @param bytes of UTF-8, cut anywhere */
  see(bytes: Uint8Array | string): void {
    const text = this.#rest + (typeof bytes === 'string' ? bytes : latin1(bytes));
    this.#count += text.split(this.#mark).length - 1;
    this.#rest = text.slice(-(this.#mark.length - 1));
  }

  /** A line for people; undefined where there is nothing to tell. @param isWhole whether all lines were seen */
  words({ isWhole = true } = {}): string | undefined {
    const count = this.#count;
    if (count === 0) return undefined;
    const texts = `${isWhole ? '' : 'At least '}${count} of the texts`;
    const are = count === 1 ? 'is a guess: its image is' : 'are guesses: their images are';
    return `${texts} ${are} unlike all that the model was trained on (warnings: outside-training).`;
  }
}

const latin1 = (bytes: Uint8Array) =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');

/** Of the results of a job that has ended so many bytes are looked at. */
const LOOKED_AT = 2 ** 20;
const WITH_TEXTS: ReadonlySet<string> = new Set(['caption', 'answer']);

/** The same of a job that has ended, by the beginning of its results; undefined where these cannot be read. */
export async function warningsOfJob(
  api: Api,
  { id, task, items }: Job,
): Promise<string | undefined> {
  if (!WITH_TEXTS.has(task) || items.completed === 0) return undefined;
  const count = new WarningCount('jsonl');
  let seen = 0;
  try {
    const path = `/v1/jobs/${encodeURIComponent(id)}/results?status=completed`;
    for await (const chunk of (await api.request(path)).body ?? []) {
      count.see(chunk);
      seen += chunk.length;
      if (seen >= LOOKED_AT) return count.words({ isWhole: false });
    }
  } catch (error) {
    // The job has ended all the same; a connection that breaks throws a TypeError.
    if (!(error instanceof CliError || error instanceof TypeError)) throw error;
    return count.words({ isWhole: false });
  }
  return count.words();
}
