import { GenerationConfig } from '@blip2/shared/wire';
import { describe, expect, it } from 'vitest';
import { Sampling } from './sampling-strategy.ts';

const EOS = 0;

function sampling(setting: Partial<GenerationConfig>, promptIds: number[] = []): Sampling {
  const config = GenerationConfig.parse({ max_tokens: 8, ...setting });
  return new Sampling({ config, promptIds, eosIds: [EOS] });
}

/** Logits in which one token is far above the rest. */
const only = (token: number) => Float32Array.from({ length: 4 }, (_, i) => (i === token ? 50 : 0));

describe('greedy decoding', () => {
  it('emits the likeliest token, which its sequence reads next', () => {
    expect(sampling({}).advance([only(2)])).toEqual({
      emitted: [{ choice: 0, tokens: [{ id: 2 }] }],
      next: [{ parent: 0, token: 2 }],
    });
  });

  it('stops at an end token, which is not emitted', () => {
    const greedy = sampling({});
    greedy.advance([only(2)]);
    expect(greedy.advance([only(EOS)])).toEqual({ emitted: [], next: [] });
    expect(greedy.choices).toEqual([{ finishReason: 'stop', completionTokens: 1 }]);
  });

  it('ends at max_tokens with its last token emitted', () => {
    const greedy = sampling({ max_tokens: 1 });
    expect(greedy.advance([only(3)])).toEqual({
      emitted: [{ choice: 0, tokens: [{ id: 3 }] }],
      next: [],
    });
    expect(greedy.choices).toEqual([{ finishReason: 'length', completionTokens: 1 }]);
  });

  it('applies the logits processors to prompt and generated tokens', () => {
    const greedy = sampling({ no_repeat_ngram_size: 1 }, [3]);
    const values = () => Float32Array.of(-9, 1, 2, 3);
    expect(greedy.advance([values()]).next[0]!.token).toBe(2);
    expect(greedy.advance([values()]).next[0]!.token).toBe(1);
  });

  it('scores a token by the logits as the model gave them', () => {
    const greedy = sampling({ logprobs: true, top_logprobs: 1, no_repeat_ngram_size: 1 }, [3]);
    const logits = Float32Array.from([0.1, 0.1, 0.3, 0.5], Math.log);
    const [token] = greedy.advance([logits]).emitted[0]!.tokens;
    expect(token!.id).toBe(2);
    expect(token!.scored!.logprob).toBeCloseTo(Math.log(0.3), 6);
    expect(token!.scored!.top[0]!.id).toBe(3);
  });
});

describe('several choices', () => {
  const setting = { n: 3, temperature: 1, seed: 11 };

  it('all continue the one sequence of the prompt, then each its own', () => {
    const choices = sampling(setting);
    expect(choices.width).toBe(3);
    expect(choices.advance([only(1)]).next.map(({ parent }) => parent)).toEqual([0, 0, 0]);
    const { next, emitted } = choices.advance([only(1), only(2), only(3)]);
    expect(next.map(({ parent }) => parent)).toEqual([0, 1, 2]);
    expect(emitted.map(({ tokens }) => tokens[0]!.id)).toEqual([1, 2, 3]);
  });

  it('equal those of single choices with their seeds, though they share the first logits', () => {
    const own = { ...setting, repetition_penalty: 5, min_tokens: 1 };
    const first = (changed: Partial<GenerationConfig>) => {
      const { emitted } = sampling({ ...own, ...changed }, [3]).advance([
        Float32Array.of(0, 1, 2, 3),
      ]);
      return emitted.map(({ tokens }) => tokens[0]!.id);
    };
    const alone = [11, 12, 13].flatMap((seed) => first({ n: 1, seed }));
    expect(new Set(alone).size).toBeGreaterThan(1);
    expect(first({})).toEqual(alone);
  });

  it('leave the sequences of the others in order when one of them ends', () => {
    const choices = sampling(setting);
    choices.advance([only(1)]);
    const { next } = choices.advance([only(1), only(EOS), only(3)]);
    expect(next).toEqual([
      { parent: 0, token: 1 },
      { parent: 2, token: 3 },
    ]);
    expect(choices.width).toBe(2);
    const last = choices.advance([only(EOS), only(2)]);
    expect(last).toEqual({
      emitted: [{ choice: 2, tokens: [{ id: 2 }] }],
      next: [{ parent: 1, token: 2 }],
    });
  });
});
