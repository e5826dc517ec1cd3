/** Each metric says of a text what independent implementations say, which wrote the goldens (golden/make.py). */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { corpusBleu } from './bleu.ts';
import { ciderD } from './cider.ts';
import { ptbTokens } from './ptb-tokenizer.ts';
import { rankOf, recalls } from './recall.ts';
import { rougeL } from './rouge.ts';
import { gqaAccuracy, normalizeAnswer, vqaAccuracy } from './vqa-accuracy.ts';

type Captions = {
  pairs: { candidate: string; references: string[] }[];
  bleu: number[];
  sacrebleu: number;
  cider: number[];
  rouge: number[];
};
type Answers = {
  normalized: [string, string][];
  questions: { answer: string; annotators: string[]; accuracy: number }[];
};
type Retrieval = { scores: number[][]; right: number[][]; recalls: number[] };

const golden = (name: string) =>
  JSON.parse(readFileSync(new URL(`golden/${name}.json`, import.meta.url), 'utf8'));
const words = (text: string) => text.split(' ').filter((word) => word !== '');

describe('metrics of captions', () => {
  const expected: Captions = golden('captions');
  const pairs = expected.pairs.map(({ candidate, references }) => ({
    candidate: words(candidate),
    references: references.map(words),
  }));

  it('have the BLEU of the reference implementation, and of another', () => {
    const bleu = corpusBleu(pairs);
    for (const [i, score] of expected.bleu.entries()) expect(bleu[i]).toBeCloseTo(score, 7);
    expect(bleu[3]).toBeCloseTo(expected.sacrebleu, 7);
  });

  it('have the CIDEr-D of the reference implementation for each caption', () => {
    const cider = ciderD(pairs);
    for (const [i, score] of expected.cider.entries()) expect(cider[i]).toBeCloseTo(score, 9);
    expect(Math.max(...cider)).toBeGreaterThan(5);
  });

  it('have the ROUGE-L of the reference implementation for each caption', () => {
    for (const [i, score] of expected.rouge.entries()) {
      expect(rougeL(pairs[i]!)).toBeCloseTo(score, 9);
    }
  });

  it('are 0 where nothing matches, never NaN', () => {
    const pair = { candidate: [], references: [['a', 'dog']] };
    expect(corpusBleu([pair])).toEqual([0, 0, 0, 0]);
    expect(ciderD([pair])).toEqual([0]);
    expect(rougeL(pair)).toBe(0);
  });
});

describe('tokens of captions', () => {
  it.each<[string, string[]]>(golden('tokens'))('are those of the Treebank: %s', (text, tokens) => {
    expect(ptbTokens(text)).toEqual(tokens);
  });

  it.each<[string, string[]]>([
    // What coco-caption drops is named in upper case, and it compares after lowering the case.
    ['a dog (small)', ['a', 'dog', '-lrb-', 'small', '-rrb-']],
    ['A dog. A cat.', ['a', 'dog', 'a', 'cat']],
    ['Mr. Smith of the U.S. at 5 p.m.', ['mr.', 'smith', 'of', 'the', 'u.s.', 'at', '5', 'p.m.']],
    ['red – “blue” … green', ['red', 'blue', 'green']],
    ['', []],
  ])('where the two differ are those of coco-caption: %s', (text, tokens) => {
    expect(ptbTokens(text)).toEqual(tokens);
  });
});

describe('accuracy of answers', () => {
  const { normalized, questions }: Answers = golden('vqa');

  it('normalizes as the official evaluation, word for word', () => {
    const ours = normalized.map(([answer]) => [answer, normalizeAnswer(answer)]);
    expect(ours).toEqual(normalized);
  });

  it('is that of the official evaluation for ten annotators', () => {
    for (const { answer, annotators, accuracy } of questions) {
      expect(vqaAccuracy(answer, annotators), answer).toBeCloseTo(accuracy, 9);
    }
    expect(new Set(questions.map(({ accuracy }) => accuracy)).size).toBeGreaterThan(4);
  });

  it('leaves out each annotator in turn', () => {
    const others = Array<string>(8).fill('cat');
    expect(vqaAccuracy('dog', ['dog', 'dog', ...others])).toBeCloseTo(
      ((2 / 3) * 8 + (1 / 3) * 2) / 10,
    );
  });

  it('of GQA is exact match without article and punctuation', () => {
    expect(gqaAccuracy('The  table.', 'table')).toBe(1);
    expect(gqaAccuracy('tables', 'table')).toBe(0);
  });
});

describe('recall', () => {
  it.each<Retrieval>(golden('recalls'))(
    'is that of sorting all scores (%#)',
    ({ scores, right, recalls: expected }) => {
      const ranks = scores.map((row, i) => rankOf(new Map(row.entries()), right[i]!));
      expect(recalls(ranks)).toEqual(expected);
    },
  );

  it('counts what has no score as not found', () => {
    expect(rankOf(new Map([[3, 0.5]]), [1])).toBe(Infinity);
    expect(recalls([Infinity, 0])).toEqual([0.5, 0.5, 0.5]);
  });
});
