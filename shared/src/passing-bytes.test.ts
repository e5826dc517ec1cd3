import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PassingBytes } from './passing-bytes.ts';

const FILE = Uint8Array.from({ length: 40 }, (_, i) => i);

type Question =
  | { kind: 'take'; bytes: number }
  | { kind: 'skip'; bytes: number }
  | { kind: 'find'; byte: number };

/** What a walk saw of a file that came in pieces, and how often it paused. */
function walked(questions: readonly Question[], cuts: readonly number[], maxSteps = 100) {
  const bytes = new PassingBytes(maxSteps);
  const seen: (number[] | 'passed')[] = [];
  function* walk() {
    for (const question of questions) {
      if (question.kind === 'take') {
        seen.push([...(bytes.take(question.bytes) ?? (yield* bytes.taken()))]);
        continue;
      }
      if (question.kind === 'skip') {
        if (!bytes.skip(question.bytes)) yield* bytes.skipped();
      } else if (!bytes.find(question.byte)) yield* bytes.found(question.byte);
      seen.push('passed');
    }
  }
  const walking = walk();
  let pauses = 0;
  const places = [0, ...cuts.toSorted((a, b) => a - b), FILE.length];
  for (const [i, from] of places.slice(0, -1).entries()) {
    bytes.pass(FILE.subarray(from, places[i + 1]));
    if (walking.next().done || bytes.isExhausted) break;
    pauses++;
  }
  return { seen, pauses, isExhausted: bytes.isExhausted };
}

describe('a walk over bytes that come in pieces', () => {
  it('sees the same wherever they are cut, and pauses at cuts alone', () => {
    const few = fc.nat(9);
    const question: fc.Arbitrary<Question> = fc.oneof(
      fc.record({ kind: fc.constant('take'), bytes: few }),
      fc.record({ kind: fc.constant('skip'), bytes: few }),
      fc.record({ kind: fc.constant('find'), byte: fc.nat(45) }),
    );
    const cuts = fc.array(fc.nat(FILE.length), { maxLength: 12 });
    fc.assert(
      fc.property(fc.array(question, { maxLength: 12 }), cuts, (questions, at) => {
        const whole = walked(questions, []);
        const { seen, pauses } = walked(questions, at);
        expect(seen).toEqual(whole.seen);
        expect(whole.pauses).toBeLessThanOrEqual(1);
        expect(pauses).toBeLessThanOrEqual(at.length + 1);
      }),
    );
  });

  it('has no copy of what is in one piece', () => {
    const bytes = new PassingBytes(9);
    bytes.pass(FILE);
    expect(bytes.skip(3)).toBe(true);
    const taken = bytes.take(4);
    expect(taken?.buffer).toBe(FILE.buffer);
    expect(taken?.byteOffset).toBe(3);
  });

  it.each(['take', 'skip'] as const)('ends at its last step, be it %s', (kind) => {
    const questions = Array.from({ length: 5 }, () => ({ kind, bytes: 1 }));
    for (const cuts of [[], FILE.slice(1)]) {
      const { seen, isExhausted } = walked(questions, [...cuts], 3);
      expect([seen.length, isExhausted]).toEqual([3, true]);
      expect(walked(questions, [...cuts], 5).isExhausted).toBe(false);
    }
  });
});
