/** The lines of `blip2 run-batch`: checked before anything is sent, and put into a file for each route that they ask. */
import { join } from 'node:path';
import { BATCH_ENDPOINTS } from '@blip2/shared/schemas/openai/batches';
import * as z from 'zod/mini';
import { CliError } from './failure.ts';
import { numberedLines } from './lines.ts';
import { type OutputFile, openOutput } from './output-file.ts';

/** All that the service refuses a batch for: batches of other routes would run meanwhile. Bodies are checked as they are run. */
const InputLine = z.strictObject({
  custom_id: z.string().check(z.minLength(1), z.maxLength(512)),
  method: z.literal('POST'),
  url: z.enum(BATCH_ENDPOINTS),
  body: z.looseObject({ stream: z.optional(z.unknown().check(z.refine((on) => on !== true))) }),
});

/** What a line is, and what is to be said of a member that is wrong where that is not enough. */
const LINE = 'a line is {"custom_id": "…", "method": "POST", "url": "/v1/…", "body": {…}}';
const OF_MEMBERS: Partial<Record<string, string>> = {
  custom_id: 'custom_id must be a text of 1 to 512 characters',
  method: 'method must be "POST"',
  url: `url must be ${BATCH_ENDPOINTS.slice(0, -1).join(', ')} or ${BATCH_ENDPOINTS.at(-1)}`,
  'body.stream': 'body.stream must not be true: replies are read when they are there',
};

/** Most faults that are named. */
const MAX_FAULTS = 20;

export type BatchInput = {
  /** Ids in the order of the lines, and the route that each asks. */
  order: { id: string; url: string }[];
  /** By route: a file of its lines in their order, and their numbers in the input, from 1. */
  files: Map<string, { path: string; numbers: number[] }>;
};

/** @param folder where the files are put. @throws CliError that names lines that are wrong by their numbers */
export async function readBatchInput(
  chunks: AsyncIterable<Uint8Array>,
  { name, folder }: { name: string; folder: string },
): Promise<BatchInput> {
  const input: BatchInput = { order: [], files: new Map() };
  await using files = new AsyncDisposableStack();
  const outputs = new Map<string, OutputFile>();
  const lineOf = new Map<string, number>();
  const faults: string[] = [];
  for await (const { text, number } of numberedLines(chunks)) {
    if (text.trim() === '') continue;
    const line = InputLine.safeParse(parsed(text));
    if (!line.success) {
      faults.push(`${name}, line ${number}: ${faultOf(line.error)}.`);
    } else if (lineOf.has(line.data.custom_id)) {
      const { custom_id } = line.data;
      faults.push(
        `${name}, line ${number}: custom_id ${JSON.stringify(custom_id)} is that of line ${lineOf.get(custom_id)}: no two are the same.`,
      );
    } else if (faults.length === 0) {
      const { custom_id: id, url } = line.data;
      lineOf.set(id, number);
      input.order.push({ id, url });
      const file = input.files.get(url) ?? {
        path: join(folder, `input-${input.files.size}.jsonl`),
        numbers: [],
      };
      input.files.set(url, file);
      file.numbers.push(number);
      const output = outputs.get(url) ?? files.use(await openOutput(file.path, 'w'));
      outputs.set(url, output);
      await output.write(`${text}\n`);
    }
    if (faults.length >= MAX_FAULTS) break;
  }
  if (faults.length > 0) throw new CliError(faults.join('\n'));
  if (input.order.length === 0) throw new CliError(`${name} has no lines.`);
  return input;
}

/** @example faultOf(error) // 'method must be "POST"' */
function faultOf({ issues: [first, ...others] }: z.core.$ZodError): string {
  if (others.length > 0) return LINE;
  if (first?.code === 'unrecognized_keys') {
    return `${first.keys[0]?.slice(0, 100)} is no member of a line: ${LINE}`;
  }
  return OF_MEMBERS[first?.path.join('.') ?? ''] ?? LINE;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
