/** The lines of `blip2 run-batch`: checked before anything is sent, and put into a file for each route that they ask. */
import { join } from 'node:path';
import * as z from 'zod/mini';
import { CliError } from './failure.ts';
import { numberedLines } from './lines.ts';
import { type OutputFile, openOutput } from './output-file.ts';

/** What of a line is needed here: the service checks the rest. */
const InputLine = z.looseObject({
  custom_id: z.string().check(z.minLength(1)),
  url: z.string().check(z.startsWith('/')),
  body: z.looseObject({}),
});

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
      const what = 'a line is {"custom_id": "…", "method": "POST", "url": "/v1/…", "body": {…}}';
      faults.push(`${name}, line ${number}: ${what}.`);
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

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
