/** Runs the lines of a part, several at a time, and writes what comes of them in their order. */
import type { JobResultLine } from '@blip2/shared/schemas/jobs/job';
import type { PartOutput } from './part-output.ts';

export type PartRun = {
  output: PartOutput;
  /** Lines of the part from a number on. */
  lines: (from: number) => AsyncGenerator<string, void, undefined>;
  run: (line: string, number: number) => Promise<JobResultLine>;
  /** Lines that are run at a time. */
  together: number;
  /** Lines after which what is done is made safe. */
  checkpointItems: number;
  onProgress: (progress: PartProgress) => void;
};

/** Lines that have ended, those of this run, and those that failed in it. */
export type PartProgress = { done: number; own: number; failed: number };

/** @returns null where the output was there. @throws whatever reading, running or writing throws: what is safe stays */
export async function runPart(part: PartRun): Promise<PartProgress | null> {
  const { output, checkpointItems, onProgress } = part;
  if (await output.isDone()) return null;
  const from = await output.resume();
  const progress = { done: from, own: 0, failed: 0 };
  let unsafe: string[] = [];
  for await (const result of inOrder(part, from)) {
    unsafe.push(`${JSON.stringify(result)}\n`);
    progress.done++;
    progress.own++;
    if (result.error !== null) progress.failed++;
    onProgress(progress);
    if (unsafe.length < checkpointItems) continue;
    await output.add(unsafe);
    unsafe = [];
  }
  if (progress.done === 0) throw new Error('The manifest has no such part: it ends before.');
  if (unsafe.length > 0) await output.add(unsafe);
  await output.finish(progress.done);
  return progress;
}

/** The results in the order of the lines, of which several are run at a time. */
async function* inOrder(
  { lines, run, together }: PartRun,
  from: number,
): AsyncGenerator<JobResultLine, void, undefined> {
  const running: Promise<JobResultLine>[] = [];
  let number = from;
  for await (const line of lines(from)) {
    const result = run(line, number++);
    // It is waited for in its turn.
    result.catch(() => {});
    running.push(result);
    if (running.length >= together) yield await (running.shift() as Promise<JobResultLine>);
  }
  for (const result of running) yield await result;
}
