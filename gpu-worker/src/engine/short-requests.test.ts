/** Captions beside long texts that have all slots but those for short requests: counted in actions of the engine. */
import { UNNAMED_CLIENT } from '@blip2/shared/wire';
import { describe, expect, it } from 'vitest';
import { EngineSetup, exactly } from './testing/engine-setup.ts';

const LONG = 480;
const TOKENS = 4;
const by = (client: string) =>
  ({ options: { caller: { client, priority: 'interactive' } } }) as const;

/** `n` long texts of each of these requests, which have begun. */
async function startLong(requests: readonly (readonly [client: string, n: number])[]) {
  const setup = new EngineSetup();
  for (const [i, [client, n]] of requests.entries()) {
    setup.submit(100 + i, {
      config: { n, temperature: 1, seed: 3, ...exactly(LONG) },
      ...by(client),
    });
    for (let action = 0; action < 3; action++) await setup.engine.advance();
  }
  return setup;
}

/** Actions until the first token of each of these jobs; none of the long ones may have ended. */
async function actionsUntilTokens(setup: EngineSetup, ids: readonly number[]): Promise<number[]> {
  const firsts = new Map<number, number>();
  for (let actions = 1; firsts.size < ids.length && (await setup.engine.advance()); actions++) {
    for (const id of ids) {
      const hasToken = setup.of(id).some(({ type }) => type === 'tokens');
      if (hasToken && !firsts.has(id)) firsts.set(id, actions);
    }
  }
  expect(setup.ended.filter((id) => id >= 100)).toEqual([]);
  return ids.map((id) => firsts.get(id) ?? Number.POSITIVE_INFINITY);
}

describe('captions', () => {
  it.each([
    ['of three clients', ['a', 8], ['b', 6], ['c', 2]],
    ['of four clients', ['a', 8], ['b', 6], ['c', 1], ['d', 1]],
    ['of two clients', ['a', 8], ['b', 6], ['a', 4], ['b', 2]],
    ['of many clients', ...Array.from({ length: 20 }, (_, i) => [`long ${i}`, 1] as const)],
    ['of nobody in particular', ['', 8], ['', 4], ['', 2], ['', 1]],
    ['of those whose address is not known', [UNNAMED_CLIENT, 8], [UNNAMED_CLIENT, 4]],
  ] as const)(
    'of twenty clients wait for a turn of other captions at most, beside long texts %s',
    async (_who, ...requests) => {
      const setup = await startLong(requests as readonly (readonly [string, number])[]);
      const ids = Array.from({ length: 20 }, (_, i) => 1 + i);
      for (const id of ids) setup.submit(id, { config: exactly(TOKENS), ...by(`light ${id}`) });
      const waits = await actionsUntilTokens(setup, ids);
      for (const [i, wait] of waits.entries()) {
        // Two at a time have the slots: for a prompt with a first token, and for steps, with a prompt of others before each.
        const turns = Math.floor(i / 2);
        expect(wait, `caption ${i}`).toBeLessThanOrEqual(3 + turns * 2 * TOKENS);
      }
    },
  );

  it('wait for a turn of others, too, where nobody has a name', async () => {
    const setup = await startLong([
      ['', 8],
      ['', 4],
    ]);
    const ids = [1, 2, 3, 4];
    for (const id of ids) setup.submit(id, { config: exactly(TOKENS), ...by('') });
    const waits = await actionsUntilTokens(setup, ids);
    expect(Math.max(...waits.slice(0, 2))).toBeLessThanOrEqual(3);
    expect(Math.max(...waits)).toBeLessThanOrEqual(3 + 2 * TOKENS);
  });
});
