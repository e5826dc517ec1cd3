/** The client with threads that fail on purpose as the engine thread may. */
import { ApiError } from '@blip2/shared/errors';
import { afterEach, describe, expect, it } from 'vitest';
import { EngineClient, EngineError } from './client.ts';
import type { EngineOptions, Job, Pixels } from './protocol.ts';

const job: Job = { kind: 'embed-texts', texts: [[2, 3]] };
const caller = { client: '', priority: 'interactive' } as const;

let running: EngineClient | undefined;
afterEach(() => running?.stop());

/** A client of a thread that runs `onSubmit` for each job: `reply(event)` is an event of it. */
async function start(onSubmit: string): Promise<EngineClient> {
  const code = `
    import { parentPort } from 'node:worker_threads';
    parentPort.on('message', ({ type, id, job, options }) => {
      const reply = (event) => parentPort.postMessage({ type: 'event', id, event });
      if (type === 'submit') { ${onSubmit} }
      if (type === 'cancel') parentPort.postMessage({ type: 'stats', stats: { id } });
      if (type === 'close') parentPort.close();
    });
    parentPort.postMessage({ type: 'ready' });`;
  const thread = new URL(`data:text/javascript,${encodeURIComponent(code)}`);
  return EngineClient.start({ maxSlots: 2 } as EngineOptions, 0, thread);
}

const signal = () => new AbortController().signal;

it('sends the pixels of a job to the engine, and holds none of them', async () => {
  running = await start(`
    const tokens = [...job.source.pixels].map((id) => ({ id }));
    reply({ type: 'tokens', choice: 0, tokens });`);
  const source: Pixels = { kind: 'pixels', key: 'a', pixels: Float32Array.of(1, 2) };
  const embed: Job = { kind: 'embed', source, embedding: 'query' };
  const reader = running.run(embed, { signal: signal(), caller }).getReader();
  expect(source.pixels.byteLength).toBe(0);
  expect(await reader.read()).toMatchObject({ value: { tokens: [{ id: 1 }, { id: 2 }] } });
});

it('says that work on a job goes on, which is no event of its stream', async () => {
  running = await start(`
    for (let i = 0; i < 2; i++) reply({ type: 'advanced' });
    reply({ type: 'done', choices: [], timings: {} });`);
  let advances = 0;
  const onAdvanced = () => {
    advances++;
  };
  const options = { signal: signal(), caller, onAdvanced };
  expect(await Array.fromAsync(running.run(job, options))).toMatchObject([{ type: 'done' }]);
  expect(advances).toBe(2);
});

describe('a job that fails in the engine', () => {
  it('errors its stream with the error of the engine as its cause, and names its request', async () => {
    running = await start(`
      const error = { name: 'RangeError', message: 'no room', stack: 'RangeError: no room\\n  at kv' };
      reply({ type: 'tokens', choice: 0, tokens: [{ id: 7 }] });
      reply({ type: 'failed', error, requestId: options.requestId });`);
    const events = running.run(job, { signal: signal(), caller, requestId: 'r-1' });
    const reader = events.getReader();
    expect(await reader.read()).toMatchObject({ value: { type: 'tokens' } });
    const error = await reader.read().catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(EngineError);
    expect(error).toMatchObject({
      message: 'the engine failed: no room',
      requestId: 'r-1',
      cause: { name: 'RangeError', stack: 'RangeError: no room\n  at kv' },
    });
  });

  it('with a problem errors its stream with that, whose cause is the error of the engine', async () => {
    running = await start(`
      const error = { name: 'ApiError', message: 'not finite' };
      reply({ type: 'failed', error, slug: 'computation-failed', requestId: options.requestId });`);
    const reading = running
      .run(job, { signal: signal(), caller, requestId: 'r-1' })
      .getReader()
      .read();
    const error = await reading.catch((thrown: unknown) => thrown);
    expect(error).toEqual(new ApiError('computation-failed', 'not finite'));
    expect(error).toMatchObject({ cause: { name: 'EngineError', requestId: 'r-1' } });
  });

  it('is counted as failed, once', async () => {
    running = await start(`
      for (let i = 0; i < 2; i++) reply({ type: 'failed', error: { name: 'Error', message: '' } });`);
    const outcomes: string[] = [];
    running.listen({
      onStats: () => {},
      onStart: (_, kind) => outcomes.push(`begun ${kind}`),
      onTokens: () => {},
      onEnd: (_, kind, outcome) => outcomes.push(`${outcome} ${kind}`),
      onRejected: () => {},
    });
    for (let i = 0; i < 2; i++) {
      const events = running.run(job, { signal: signal(), caller });
      await expect(Array.fromAsync(events)).rejects.toThrow('the engine failed');
    }
    expect(outcomes).toEqual([
      'begun embed-texts',
      'failed embed-texts',
      'begun embed-texts',
      'failed embed-texts',
    ]);
  });
});

describe('a thread that crashes', () => {
  it('in the middle of streams fails every job, and calls the crash listener', async () => {
    const client = await start(`
      if (options.requestId === 'second') throw new TypeError('the driver is gone');
      reply({ type: 'tokens', choice: 0, tokens: [{ id: 7 }] });`);
    const crashed = new Promise<Error>((resolve) => {
      client.onCrash(resolve);
    });
    const first = client.run(job, { signal: signal(), caller, requestId: 'first' }).getReader();
    expect(await first.read()).toMatchObject({ value: { type: 'tokens' } });
    const second = client.run(job, { signal: signal(), caller, requestId: 'second' }).getReader();
    for (const [reader, requestId] of [
      [first, 'first'],
      [second, 'second'],
    ] as const) {
      await expect(reader.read()).rejects.toMatchObject({
        requestId,
        cause: { name: 'TypeError', message: 'the driver is gone' },
      });
    }
    expect((await crashed).message).toBe('the driver is gone');
    running = undefined;
  });

  it('before it is ready rejects the start', async () => {
    const thread = new URL(`data:text/javascript,throw new Error('no such bundle')`);
    const starting = EngineClient.start({ maxSlots: 2 } as EngineOptions, 0, thread);
    await expect(starting).rejects.toThrow('no such bundle');
  });
});

describe('a job whose reader has gone', () => {
  it('ends as canceled when its signal aborts or its reader cancels, in the engine as well', async () => {
    const client = await start('');
    running = client;
    const outcomes: string[] = [];
    const canceled: unknown[] = [];
    const bothCanceled = new Promise<void>((resolve) => {
      client.listen({
        // The thread above reports each cancellation as stats.
        onStats: (stats) => canceled.push(stats) === 2 && resolve(),
        onStart: () => {},
        onTokens: () => {},
        onEnd: (_, _kind, outcome) => outcomes.push(outcome),
        onRejected: () => {},
      });
    });
    const leaving = new AbortController();
    const events = client.run(job, { signal: leaving.signal, caller });
    leaving.abort(new Error('the client went away'));
    await expect(events.getReader().read()).rejects.toThrow('the client went away');
    await client.run(job, { signal: signal(), caller }).cancel();
    await bothCanceled;
    expect(outcomes).toEqual(['canceled', 'canceled']);
    expect(canceled).toEqual([{ id: 1 }, { id: 2 }]);
  });

  it('is not submitted when its signal has aborted before', async () => {
    const client = await start('');
    running = client;
    const aborted = AbortSignal.abort(new Error('too late'));
    expect(() => client.run(job, { signal: aborted, caller })).toThrow('too late');
  });
});
