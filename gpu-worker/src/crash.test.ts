/** What clients and operators get when the engine thread crashes in the middle of streams. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Problem } from '@blip2/shared/errors';
import { decodeJson, encodeJsonFrame, type Frame, readFrames } from '@blip2/shared/frames';
import { describe, expect, it } from 'vitest';
import { allowPasses } from './engine/testing/gate.ts';
import { endless, TestWorker } from './http/testing/test-worker.ts';
import { crash, engineThread, gateEngine } from './testing/crash-engine.ts';

const path = (name: string) => fileURLToPath(new URL(name, import.meta.url));

/** A stream that has begun. */
async function begin(response: Response): Promise<AsyncGenerator<Frame>> {
  const frames = readFrames(response.body as ReadableStream<Uint8Array>);
  await frames.next();
  return frames;
}

async function endOf(frames: AsyncGenerator<Frame>): Promise<Problem> {
  const last = (await Array.fromAsync(frames)).at(-1);
  expect(last?.type).toBe('error');
  return decodeJson((last as Frame).payload) as Problem;
}

describe('an engine thread that crashes', () => {
  it('ends every stream with an error frame without internals, and is logged', async () => {
    const gate = gateEngine();
    const engine = engineThread();
    const test = await TestWorker.start();
    const ids = ['first', 'second'];
    const request = test.generate({ generation: endless(200) });
    allowPasses(gate, 0);
    // Few passes at a time: no stream is near its end when both have begun, however late the second comes.
    const passes = setInterval(() => allowPasses(gate, 1), 20);
    const streams = await Promise.all(
      ids.map(async (id) => {
        const headers = { 'x-request-id': id };
        return await begin(await test.send(request, test.image(0), { headers }));
      }),
    );
    clearInterval(passes);
    crash(await engine);
    for (const problem of await Promise.all(streams.map(endOf))) {
      expect(problem).toEqual({
        type: '/problems/internal-error',
        title: expect.any(String),
        status: 500,
        detail: 'An unexpected error happened. It was logged.',
      });
    }
    const error = await test.worker.crashed;
    expect(error).toBeInstanceOf(TypeError);
    await expect(fetch(`${test.worker.url}/readyz`)).rejects.toThrow();

    const crashed = test.logged.filter(({ event }) => event === 'engine-crashed');
    expect(crashed).toMatchObject([{ level: 'error', error: { stack: expect.any(String) } }]);
    for (const id of ids) {
      expect(test.logged.filter(({ request_id }) => request_id === id)).toMatchObject([
        { level: 'error', event: 'internal-error', error: { stack: expect.stringMatching(/\n/) } },
        { level: 'info', event: 'request', status: 200, outcome: 'internal-error' },
      ]);
    }
  });

  it.runIf(process.platform !== 'win32')(
    'ends the process, after its streams have ended with error frames',
    async () => {
      const child = spawn(
        process.execPath,
        ['--import', path('./testing/crash-on-signal.ts'), path('./main.ts')],
        {
          env: { ...process.env, BLIP2_WORKER_PORT: '0', BLIP2_LOG_LEVEL: 'info' },
          stdio: ['ignore', 'ignore', 'pipe'],
        },
      );
      const exited = once(child, 'exit');
      const events: string[] = [];
      let end: Promise<Problem> | undefined;
      for await (const line of createInterface(child.stderr)) {
        const { event, url } = JSON.parse(line) as { event: string; url: string };
        events.push(event);
        if (event !== 'ready') continue;
        child.kill('SIGUSR2');
        const model = (await (await fetch(`${url}/v1/model`)).json()) as { revision: string };
        const texts = { kind: 'generate', request_id: 'x', deadline_ms: 20_000, input_ids: [2] };
        const request = { ...texts, revision: model.revision, generation: endless(200) };
        const image = await TestWorker.imageFrame();
        const body = new Blob([encodeJsonFrame('request', request), image]);
        const stream = await begin(await fetch(`${url}/v1/run`, { method: 'POST', body }));
        child.kill('SIGUSR2');
        end = endOf(stream);
      }
      expect(await end).toMatchObject({ type: '/problems/internal-error' });
      expect(await exited).toEqual([1, null]);
      expect(events).toContain('engine-crashed');
    },
  );
});
