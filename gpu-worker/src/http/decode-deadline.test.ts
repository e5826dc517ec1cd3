/** Images whose decoding outlasts the deadline of their request, beside requests that have nothing to do with them. */
import { encodeFrame } from '@blip2/shared/frames';
import { beforeAll, expect, it } from 'vitest';
import { pngOf } from '../../../test/support/large-png.ts';
import { type Bytes, TestWorker } from './testing/test-worker.ts';

/** It takes seconds to decode on any machine, and by the estimate 977 MiB. */
const SIDE = 16_000;
const DEADLINE_MS = 2500;
const ORDINARY = 12;

let hostile: Bytes;
beforeAll(async () => {
  hostile = encodeFrame('image', new Uint8Array(await pngOf(SIDE, SIDE)));
});

async function start(decodeProcesses: number) {
  const test = await TestWorker.start({
    decodeProcesses,
    maxImagePixels: SIDE ** 2,
    decodeMemoryMb: 1024,
    decodeTotalMemoryMb: 4096,
  });
  /** @param label of the series, where there are several */
  const metric = async (name: string, label = '') => {
    const text = await (await fetch(`${test.worker.url}/metrics`)).text();
    const line = new RegExp(`^${name}\\{[^}]*${label}[^}]*\\} (\\S+)`, 'm').exec(text);
    return Number(line?.[1] ?? 0);
  };
  return { test, metric, [Symbol.asyncDispose]: () => test.worker.stop() };
}

it.each([
  [
    'one process, which the first has to itself',
    { processes: 1, decoding: 1, waiting: 1 + ORDINARY },
  ],
  ['processes for both, and one for the others', { processes: 3, decoding: 2, waiting: 0 }],
])(
  'two images that take too long for %s are 504 at their deadline, and delay no request that has embeddings',
  async (_, { processes, decoding, waiting }) => {
    await using worker = await start(processes);
    const { test, metric } = worker;
    const { embeddings } = await test.ask(test.generate(), test.image(0));
    let answered = 0;
    const refusals = ['a', 'b'].map(async (client) => {
      const request = test.generate({ client, deadline_ms: DEADLINE_MS });
      const response = await test.send(request, hostile);
      answered++;
      return { status: response.status, problem: await response.json() };
    });
    await expect.poll(() => metric('blip2_decode_memory_bytes')).toBeGreaterThan(decoding * 9e8);
    const ordinary = Array.from({ length: ORDINARY }, (_, i) =>
      test.ask(test.generate({ client: `${i}` }), test.image(i % 4)),
    );
    await expect.poll(() => metric('blip2_num_images_waiting')).toBe(waiting);
    const source = encodeFrame('embeddings', embeddings as Bytes);
    const { types } = await test.ask(test.generate({ client: 'with embeddings' }), source);
    expect(types.at(-1)).toBe('done');
    expect(answered, 'hostile requests that were answered first').toBe(0);
    for (const { status, problem } of await Promise.all(refusals)) {
      expect(status).toBe(504);
      expect(problem).toMatchObject({ type: '/problems/deadline-exceeded' });
    }
    for (const { types } of await Promise.all(ordinary)) expect(types.at(-1)).toBe('done');
    expect(test.worker.engine.admitted).toBe(0);
    const ended = () => metric('blip2_decode_processes_ended_total', 'reason="canceled"');
    await expect.poll(ended).toBe(decoding);
    await expect.poll(() => metric('blip2_decode_memory_bytes')).toBe(0);
    expect(await metric('blip2_num_images_waiting')).toBe(0);
  },
);
