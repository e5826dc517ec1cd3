/** How long an item may take: over an engine that does what a test says, and hours of a stand-in clock. */

import type { JobMessage } from '@blip2/shared/jobs/message';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import type { JobOutput } from '../engine/client.ts';
import { NO_TRACES } from '../tracing/traces.ts';
import { type Ran, type Running, runItem } from './run-item.ts';

const SECOND = 1000;
const HOUR = 3600 * SECOND;
const DAY = 24 * HOUR;
const JOB = 'ab'.repeat(48);
const received = { body: '', handle: '', receives: 1, isSuspect: false };

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance', 'Date'] });
});
afterEach(() => vi.useRealTimers());

function messageOf(livesMs: number): JobMessage {
  return {
    ...{ v: 1, job: JOB, part: 0, item: 0, revision: 'r', client: 'somebody' },
    task: { kind: 'embed-texts', texts: [[1, 2]] },
    expires_at: Date.now() + livesMs,
  };
}

type Submitted = {
  /** The engine says that its work goes on. */
  advance: () => void;
  controller: ReadableStreamDefaultController<JobOutput>;
};

/** An item in the engine. */
async function start(livesMs = DAY) {
  const submitted = Promise.withResolvers<Submitted>();
  let ran: Ran | null = null;
  const engine = {
    admit: () => new DisposableStack(),
    run: (_job: unknown, { signal, onAdvanced }: { signal: AbortSignal; onAdvanced: () => void }) =>
      new ReadableStream<JobOutput>({
        start: (controller) => {
          signal.addEventListener('abort', () => controller.error(signal.reason));
          submitted.resolve({ advance: onAdvanced, controller });
        },
      }),
  };
  const model = { revision: 'r', num_query_tokens: 1, qformer_hidden: 1, precision: 'fp32' };
  const text = { max_positions: 9, vocab: 9, cls_token_id: 1, sep_token_id: 2 };
  const dependencies = {
    ...{ engine, limits: {}, decoder: {}, bodyMemory: {}, traces: NO_TRACES },
    models: { generate: model, retrieve: { ...model, text } },
    state: { draining: false, crashed: new AbortController().signal },
  };
  const running = { dependencies, edge: {}, placeMs: 1, suspicion: null };
  const ended = runItem({ message: messageOf(livesMs), received }, {
    ...running,
    signal: new AbortController().signal,
  } as unknown as Running);
  ended.then((value) => {
    ran = value;
  });
  const { advance, controller } = await submitted.promise;
  /** What has become of it so many milliseconds later; null while it waits or runs. */
  const after = async (ms: number) => {
    await vi.advanceTimersByTimeAsync(ms);
    // A stream's error takes some turns of the loop.
    await new Promise((resolve) => setImmediate(resolve));
    return ran;
  };
  return { advance, controller, after, ended };
}

const overdue = { kind: 'again', problem: { slug: 'deadline-exceeded' } };

it('an item waits for its turn for hours, and for no longer than its message is its own', async () => {
  const { after } = await start();
  expect(await after(10 * HOUR)).toBeNull();
  expect(await after(2 * HOUR)).toMatchObject(overdue);
});

it('an item that waited for hours has a result', async () => {
  const { after, advance, controller, ended } = await start();
  expect(await after(5 * HOUR)).toBeNull();
  advance();
  const timings = { match: 3 };
  controller.enqueue({ type: 'texts', embeddings: [Float32Array.of(1)] });
  controller.enqueue({ type: 'done', choices: [], timings });
  controller.close();
  expect(await ended).toMatchObject({
    kind: 'result',
    outcome: { kind: 'frames' },
    seconds: 0.003,
  });
});

it('an item that has begun ends a quarter of an hour after its work last went on', async () => {
  const { after, advance } = await start();
  await after(3 * HOUR);
  for (let i = 0; i < 20; i++) {
    advance();
    expect(await after(890 * SECOND)).toBeNull();
  }
  expect(await after(20 * SECOND)).toMatchObject(overdue);
});

it('an item whose work goes on ends all the same before SQS gives it to others', async () => {
  const { after, advance } = await start();
  for (let i = 0; i < 11 * 6 - 1; i++) {
    advance();
    expect(await after(600 * SECOND)).toBeNull();
  }
  advance();
  expect(await after(HOUR)).toMatchObject(overdue);
});

it('an item waits no longer than anybody wants it', async () => {
  const { after, advance } = await start(HOUR);
  advance();
  await after(800 * SECOND);
  advance();
  await after(800 * SECOND);
  for (let i = 0; i < 3; i++) {
    advance();
    await after(600 * SECOND);
  }
  advance();
  expect(await after(600 * SECOND)).toMatchObject(overdue);
});
