/** Clients that have many texts compared, beside one that sends one request after the other: counted in actions. */
import { expect, it } from 'vitest';
import type { Job, Pixels } from './protocol.ts';
import { EngineSetup, exactly } from './testing/engine-setup.ts';

const CLIENTS = 16;
const callerOf = (client: string) => ({ caller: { client, priority: 'interactive' } }) as const;

function start(): EngineSetup {
  const unused = () => Promise.reject(new Error('not for texts'));
  const retrieval = {
    imageEmbeddings: unused,
    textEmbeddings: async (texts: readonly unknown[]) => texts.map(() => Float32Array.of(1, 0)),
    matchProbabilities: unused,
    release: async () => {},
  };
  return new EngineSetup({ reportsJobs: true }, { retrieval });
}

it('each request of a client waits for one turn of each of them, also when it has sent others before', async () => {
  const setup = start();
  const texts = Array.from({ length: 512 }, () => [2, 3]);
  const job: Job = { kind: 'embed-texts', texts };
  for (let n = 0; n < CLIENTS; n++) setup.engine.submit(1000 + n, job, callerOf(`busy ${n}`));
  await setup.engine.advance();
  const ended: number[] = [];
  /** Actions until one of its own has ended. */
  const ask = async (id: number, source?: Pixels) => {
    const image = source && { source };
    setup.submit(id, { ...image, config: exactly(1), options: callerOf('own') });
    let actions = 0;
    for (; !setup.ended.includes(id); actions++) await setup.engine.advance();
    ended.push(id);
    return actions;
  };
  const waits: number[] = [];
  for (let id = 1; id <= 24; id += 4) {
    waits.push(
      await ask(id, { kind: 'pixels', key: `image ${id}`, pixels: Float32Array.of(id, 2) }),
    );
    // Of images that are known: they wait for none of the others, and are counted.
    for (const known of [id + 1, id + 2, id + 3]) await ask(known);
  }
  // None of the others is done when the last of these ends.
  expect(setup.ended).toEqual(ended);
  // Its image, its prompt, and some more steps.
  for (const wait of waits) expect(wait).toBeLessThanOrEqual(CLIENTS + 6);
});
