/**
 * As many items as one job may have, read, run and put together: how fast each is, and how much memory it needs. A stand-in for
 * the GPU worker commits one reply for all of them, so that queue, edge and objects are what is measured.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startStack } from '../local-stack.ts';
import { JobClient, type JobState } from './job-client.ts';
import { MemoryTrace, type Phase } from './memory-trace.ts';
import { type ProcessorTime, perItem, processorTime } from './processor-time.ts';

export type MillionPlan = { items: number; report: (line: string) => void; timeoutMs: number };

type PhaseReport = { phase: Phase; seconds: number };
export type MillionReport = {
  phases: PhaseReport[];
  memory: MemoryTrace;
  /** Of the run, milliseconds an item. */
  processor: ProcessorTime;
  state: JobState;
  lines: number;
};

const LINES_AT_A_TIME = 5000;

/** A queue of jobs that the GPU worker of the stack does not know. */
const NO_JOBS = Object.fromEntries(
  ['QUEUE_URL', 'DEAD_LETTER_URL', 'ENDPOINT', 'EDGE_URL', 'SECRET'].map((name) => [
    `BLIP2_JOBS_${name}`,
    '',
  ]),
);

export async function proveMillion({
  items,
  report,
  timeoutMs,
}: MillionPlan): Promise<MillionReport> {
  const persist = await mkdtemp(join(tmpdir(), 'prove-jobs-'));
  await using after = new AsyncDisposableStack();
  after.defer(() => rm(persist, { recursive: true, force: true }));
  const stack = await startStack({
    persist,
    jobs: true,
    logLevel: 'none',
    onStatus: report,
    workerEnv: { ...NO_JOBS, BLIP2_LOG_LEVEL: 'silent' },
    vars: { JOBS_MAX_FILE_BYTES: String(2 ** 30), JOBS_MAX_ITEMS: '4000000' },
  });
  after.defer(() => stack.stop());
  const jobs = new JobClient(stack.url);
  const memory = new MemoryTrace(() => stack.worker.pid);
  after.defer(() => memory.stop());
  const phases: PhaseReport[] = [];
  let startedAt = performance.now();
  const next = (phase: Phase) => {
    const now = performance.now();
    phases.push({ phase: memory.phase, seconds: (now - startedAt) / 1000 });
    startedAt = now;
    memory.phase = phase;
  };
  const id = await jobs.create('caption', linesOf(items));
  next('ingest');
  const watching = {
    timeoutMs,
    onState: ({ status, items: { completed, total } }: JobState) =>
      report(`${status}, ${total === 0 ? 0 : Math.floor((100 * completed) / total)} %`),
  };
  await jobs.until(id, { ...watching, isEnough: ({ status }) => status !== 'validating' });
  next('run');
  const stub = startStub(stack.queue?.workerEnv ?? {});
  after.defer(() => endStub(stub));
  const used = () => processorTime({ worker: stack.worker.pid, standIn: stub.pid });
  const before = await used();
  const isDone = ({ items: { completed, total } }: JobState) => completed === total;
  await jobs.until(id, { ...watching, isEnough: isDone });
  const processor = perItem(before, await used(), items);
  next('seal');
  const state = await jobs.until(id, watching);
  next('read');
  const count = await jobs.countResults(id);
  next('read');
  return { phases, memory, processor, state, lines: count };
}

/** Lines of items, a few thousand at a time: all of them would be memory of this process, which has the queue's as well. */
function linesOf(items: number): ReadableStream<Uint8Array> {
  const line = (i: number) =>
    JSON.stringify({ id: `item-${i}`, image: { url: `https://images.example.org/${i}.png` } });
  const chunks = function* () {
    for (let at = 0; at < items; at += LINES_AT_A_TIME) {
      const count = Math.min(LINES_AT_A_TIME, items - at);
      yield Array.from({ length: count }, (_, i) => `${line(at + i)}\n`).join('');
    }
  };
  return ReadableStream.from(chunks()).pipeThrough(new TextEncoderStream());
}

function startStub(environment: Record<string, string>): ChildProcess {
  const script = fileURLToPath(new URL('stub-worker.ts', import.meta.url));
  const env = { ...process.env, ...environment };
  return spawn(process.execPath, [script], { env, stdio: ['ignore', 'inherit', 'inherit'] });
}

async function endStub(stub: ChildProcess): Promise<void> {
  if (stub.exitCode !== null || stub.signalCode !== null) return;
  const exited = once(stub, 'exit');
  stub.kill('SIGKILL');
  await exited;
}
