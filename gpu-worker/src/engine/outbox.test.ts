/** Many tokens at once leave piece by piece, and others get theirs in between. */
import { describe, expect, it } from 'vitest';
import { EngineSetup, exactly } from './testing/engine-setup.ts';

const top = { logprobs: true, top_logprobs: 20 };
const wide = { num_beams: 8, n: 8, ...exactly(400), ...top };

const lengthsOf = (setup: EngineSetup, id: number) =>
  setup.of(id).flatMap((event) => (event.type === 'tokens' ? [event.tokens.length] : []));

describe('the tokens of a beam search', () => {
  it('with log-probabilities leave in pieces, between which others get theirs', async () => {
    const setup = new EngineSetup({ maxSlots: 10 });
    setup.submit(1, { config: wide });
    setup.submit(2, { config: exactly(450) });
    const perAction: number[] = [];
    for (;;) {
      const before = setup.events.length;
      if (!(await setup.engine.advance())) break;
      const tokens = setup.events.slice(before).flatMap(({ id, event }) => {
        return id === 1 && event.type === 'tokens' ? event.tokens : [];
      });
      if (tokens.length > 0) perAction.push(tokens.length);
    }
    expect(Math.max(...perAction)).toBeLessThanOrEqual(64);
    expect(perAction.length).toBeGreaterThanOrEqual((8 * 400) / 64);
    const own = setup.events.map(({ id }) => id);
    const [first, last] = [own.indexOf(1), own.lastIndexOf(1)];
    expect(own.slice(first, last).filter((id) => id === 2).length).toBeGreaterThan(40);
    expect(setup.of(1).at(-1)).toMatchObject({ type: 'done' });
    expect(setup.tokensOf(1).map(({ length }) => length)).toEqual(Array(8).fill(400));
    // Choice after choice, as before.
    const choices = setup.of(1).flatMap((event) => (event.type === 'tokens' ? [event.choice] : []));
    expect(choices).toEqual(choices.toSorted((a, b) => a - b));
  });

  it('that are few leave at once', async () => {
    const setup = new EngineSetup();
    setup.submit(1, { config: { num_beams: 5, n: 5, ...exactly(20) } });
    await setup.finish();
    expect(lengthsOf(setup, 1)).toEqual([20, 20, 20, 20, 20]);
    setup.submit(2, { config: { num_beams: 3, n: 1, ...exactly(60), ...top } });
    await setup.finish();
    expect(lengthsOf(setup, 2)).toEqual([60]);
  });

  it('leave nobody behind: the engine goes on until all have left', async () => {
    const setup = new EngineSetup();
    setup.submit(1, { config: wide });
    await setup.finish();
    expect(setup.ended).toEqual([1]);
    expect(setup.tokensOf(1).flat()).toHaveLength(8 * 400);
  });

  it('end with a job that is canceled, or whose events can no longer be delivered', async () => {
    const setup = new EngineSetup();
    for (const id of [1, 2]) setup.submit(id, { config: { ...wide, num_beams: 4, n: 4 } });
    setup.deliver = (id) => {
      const count = setup.of(id).length;
      if (id === 1 && count === 2) setup.engine.cancel(1);
      if (id === 2 && count === 3) throw new Error('gone');
    };
    await setup.finish();
    expect(lengthsOf(setup, 1)).toHaveLength(3);
    expect(lengthsOf(setup, 2)).toHaveLength(3);
    expect(setup.ended).toEqual([]);
    setup.submit(3);
    await setup.finish();
    expect(setup.ended).toEqual([3]);
  });
});
