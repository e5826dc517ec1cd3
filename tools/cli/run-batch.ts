/** `blip2 run-batch`: a file of requests in, a file of replies out, as vLLM's command of this name has them. */
import { createHash, randomUUID } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { rename, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { progressBar } from '@blip2/gpu-worker/cli/progress-bar';
import { Batch } from '@blip2/shared/schemas/openai/batches';
import type { Api } from './api.ts';
import { type BatchInput, readBatchInput } from './batch-input.ts';
import { type BatchFiles, mergedLines } from './batch-output.ts';
import { type BatchState, type CreatedBatch, openBatchState } from './batch-state.ts';
import { download, written } from './download.ts';
import { CliError, EXIT } from './failure.ts';
import { onInterrupt } from './interrupt.ts';
import { numberedLines } from './lines.ts';
import { expectWritable, openOutput } from './output-file.ts';
import { type PackLimits, packsOf } from './packs.ts';
import { temporaryFolder } from './temporary-folder.ts';
import { upload } from './upload.ts';
import { WarningCount } from './warnings.ts';
import { drawProgress, ENDED } from './watch.ts';

export type BatchRun = {
  /** Path, URL, or `-` for standard input. */
  input: string;
  /** Path, or `-` for standard output. */
  output: string;
  limits: PackLimits;
  /** Address of the service, by which it is known again. */
  service: string;
  onWait: (line: string) => void;
};

type Ended = { total: number; failed: number; warnings: string | undefined };

const LOOK_MS = 1000;

/** @returns how many lines failed, and what is to be said of warnings. @throws CliError */
export async function runBatch(api: Api, run: BatchRun): Promise<Ended> {
  const statePath = run.output === '-' ? null : `${run.output}.run.json`;
  if (statePath !== null) await expectWritable(run.output, [partialOf(run.output), statePath]);
  using folder = await temporaryFolder();
  const digest = createHash('sha256');
  const chunks = digested(await openInput(run.input), digest);
  const input = await readBatchInput(chunks, { name: basename(run.input), folder: folder.path });
  const service = run.service;
  const state = await openBatchState(statePath, { input: digest.digest('hex'), service });
  await forgetGone(api, state);
  await createBatches(api, input, state, run.limits);
  const ids = state.batches.map(({ id }) => id).join(' ');
  onInterrupt(
    statePath === null
      ? `Batches of the service go on without this command: ${ids}`
      : 'The service goes on without this command. Run it again to go on with it here.',
  );
  const ended = await untilEnded(api, input, state.batches);
  const files: BatchFiles[] = [];
  for (const { batch, url } of ended) {
    const fetched = async (file: string | null) =>
      file === null
        ? null
        : await fetchFile(api, file, { folder: folder.path, onWait: run.onWait });
    const [output, errors] = [
      await fetched(batch.output_file_id),
      await fetched(batch.error_file_id),
    ];
    files.push({ url, output, errors });
  }
  const counts = await writeOutput(run.output, mergedLines(input, files));
  await state.end();
  return counts;
}

async function openInput(input: string): Promise<AsyncIterable<Uint8Array>> {
  if (input === '-') return process.stdin;
  if (/^https?:\/\//i.test(input)) {
    const reply = await fetch(input).catch((error: Error) => {
      throw new CliError(`${input} does not answer: ${error.message}`);
    });
    if (reply.ok && reply.body !== null) return reply.body;
    throw new CliError(`${input} answers ${reply.status}.`);
  }
  const found = await stat(input).catch(() => null);
  if (found?.isFile() || found?.isFIFO()) return createReadStream(input);
  if (found?.isDirectory()) throw new CliError(`${input} is a folder: run-batch takes a file.`);
  throw new CliError(`There is no file ${input}.`);
}

async function* digested(chunks: AsyncIterable<Uint8Array>, hash: ReturnType<typeof createHash>) {
  for await (const chunk of chunks) {
    hash.update(chunk);
    yield chunk;
  }
}

/**
 * What an earlier run has created may be gone by now, or was refused for a reason that has passed: a quota that was used up,
 * a file that could not be read.
 */
async function forgetGone(api: Api, state: BatchState): Promise<void> {
  const gone: CreatedBatch[] = [];
  const canceled: CreatedBatch[] = [];
  for (const batch of state.batches) {
    const reply = await api.request(`/v1/batches/${batch.id}`, { accepts: [404] });
    const status = reply.status === 404 ? 'gone' : Batch.parse(await reply.json()).status;
    if (['gone', 'failed'].includes(status)) gone.push(batch);
    if (['cancelling', 'cancelled'].includes(status)) canceled.push(batch);
  }
  // Those that were canceled because of it are no results either; those that run or are completed are.
  if (gone.length > 0) state.forget([...gone, ...canceled]);
}

/** A batch for each file of lines of one route, but for those that an earlier run has created. */
async function createBatches(
  api: Api,
  { files }: BatchInput,
  state: BatchState,
  limits: PackLimits,
): Promise<void> {
  const created = new Set(state.batches.map(({ url, firstLine }) => `${firstLine} ${url}`));
  for (const [url, { path }] of files) {
    let firstLine = 0;
    for await (const pack of packsOf(textsOf(path), limits)) {
      if (!created.has(`${firstLine} ${url}`)) {
        const id = await createBatch(api, url, pack.path);
        await state.add({ id, url, firstLine });
      }
      firstLine += pack.lines;
    }
  }
}

async function* textsOf(path: string): AsyncGenerator<string, void, undefined> {
  for await (const { text } of numberedLines(createReadStream(path))) yield text;
}

async function createBatch(api: Api, endpoint: string, path: string): Promise<string> {
  const key = randomUUID();
  const input_file_id = await upload(api, path);
  const body = JSON.stringify({ input_file_id, endpoint, completion_window: '24h' });
  const headers = { 'content-type': 'application/json', 'idempotency-key': key };
  return (await api.json(Batch, '/v1/batches', { method: 'POST', headers, body })).id;
}

type EndedBatch = CreatedBatch & { batch: Batch };

/** @throws CliError where the service refuses lines: then the others are canceled */
async function untilEnded(
  api: Api,
  { order, files }: BatchInput,
  created: readonly CreatedBatch[],
): Promise<EndedBatch[]> {
  using bar = progressBar('Running');
  const rate = rateOf();
  for (;;) {
    const states: EndedBatch[] = [];
    for (const one of created) {
      states.push({ ...one, batch: await api.json(Batch, `/v1/batches/${one.id}`) });
    }
    const refused = states.find(({ batch }) => batch.status === 'failed');
    if (refused !== undefined) {
      await cancelRest(api, states);
      throw new CliError(
        refusedLines(refused, files.get(refused.url)?.numbers ?? []),
        EXIT.refused,
      );
    }
    const counts = states.map(({ batch }) => batch.request_counts);
    const completed = counts.reduce((sum, each) => sum + each.completed, 0);
    const failed = counts.reduce((sum, each) => sum + each.failed, 0);
    const perSecond = rate(completed + failed);
    const left = perSecond === null ? null : (order.length - completed - failed) / perSecond;
    drawProgress(bar, { total: order.length, completed, failed, perSecond, secondsLeft: left });
    if (states.every(({ batch }) => ENDED.has(batch.status))) return states;
    await delay(LOOK_MS);
  }
}

/** Items a second since the first look, null before there is one. */
function rateOf(): (done: number) => number | null {
  let first: { done: number; at: number } | null = null;
  return (done) => {
    const at = performance.now();
    first ??= { done, at };
    return done > first.done ? (1000 * (done - first.done)) / (at - first.at) : null;
  };
}

async function cancelRest(api: Api, states: readonly EndedBatch[]): Promise<void> {
  for (const { batch } of states) {
    if (ENDED.has(batch.status)) continue;
    await api.request(`/v1/batches/${batch.id}/cancel`, { method: 'POST', accepts: [400, 409] });
  }
}

/** @param numbers of the lines of this route in the input */
function refusedLines({ batch, url, firstLine }: EndedBatch, numbers: readonly number[]): string {
  const faults = (batch.errors?.data ?? []).map(({ line, message }) =>
    line === null ? message : `line ${numbers[firstLine + line - 1] ?? line}: ${message}`,
  );
  return [`The service refuses lines of ${url}, and has run none of them.`, ...faults].join('\n');
}

async function fetchFile(
  api: Api,
  file: string,
  { folder, onWait }: { folder: string } & Pick<BatchRun, 'onWait'>,
): Promise<string> {
  const path = join(folder, basename(file));
  await using output = await openOutput(path, 'w');
  const { write } = output;
  await download(api, `/v1/files/${file}/content`, { have: 0, onWait, write });
  return path;
}

/** Writes the lines. A file is there only when it is whole. */
async function writeOutput(
  output: string,
  lines: AsyncIterable<{ text: string; isFailed: boolean }>,
): Promise<Ended> {
  if (output === '-') return await writeLines(lines, (line) => written(process.stdout, line));
  const ended = await (async () => {
    await using file = await openOutput(partialOf(output), 'w');
    return await writeLines(lines, file.write);
  })();
  await rename(partialOf(output), output);
  return ended;
}

/** Where the output is until it is whole. */
const partialOf = (output: string) => `${output}.partial`;

async function writeLines(
  lines: AsyncIterable<{ text: string; isFailed: boolean }>,
  write: (line: string) => Promise<void>,
): Promise<Ended> {
  const counts = { total: 0, failed: 0 };
  const warnings = new WarningCount('jsonl');
  for await (const { text, isFailed } of lines) {
    counts.total++;
    if (isFailed) counts.failed++;
    warnings.see(text);
    await write(`${text}\n`);
  }
  return { ...counts, warnings: warnings.words() };
}
