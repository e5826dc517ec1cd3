/** Accuracy of answers to questions about images, by the rules of the official evaluations of VQA and GQA. */
import { CONTRACTIONS } from './contractions.ts';
import { mean } from './ngrams.ts';

const NUMBERS = new Map(
  'zero one two three four five six seven eight nine ten'
    .split(' ')
    .map((word, i) => [word, `${i}`]),
);
NUMBERS.set('none', '0');
const ARTICLES = new Set(['a', 'an', 'the']);
const PUNCTUATION = [...';/[]"{}()=+\\_-><@`,?!'];
/** A comma within a number. */
const COMMA_IN_NUMBER = /\d,\d/;
/** A period that no digit follows. The official expression means to spare those behind a digit too, and does not. */
const PERIOD = /\.(?!\d)/g;
/** The official evaluation passes a flag where Python expects how many periods to remove at most. */
const PERIODS_REMOVED = 32;
/** Annotators who must agree for an answer to be wholly right. */
const AGREEING = 3;

/**
 * An answer as it is compared: lower case, no articles, no punctuation, digits for number words, apostrophes restored.
 * @example normalizeAnswer('The two dogs, dont you see?') // "2 dogs don't you see"
 */
export function normalizeAnswer(answer: string): string {
  return withoutPunctuation(answer)
    .toLowerCase()
    .split(/\s+/)
    .map((word) => NUMBERS.get(word) ?? word)
    .filter((word) => word !== '' && !ARTICLES.has(word))
    .map((word) => CONTRACTIONS.get(word) ?? word)
    .join(' ');
}

/** A mark beside a space vanishes, another becomes a space; in an answer with a number as 1,000 all vanish. */
function withoutPunctuation(answer: string): string {
  let text = answer;
  for (const mark of PUNCTUATION) {
    const vanishes =
      answer.includes(`${mark} `) || answer.includes(` ${mark}`) || COMMA_IN_NUMBER.test(answer);
    text = text.replaceAll(mark, vanishes ? '' : ' ');
  }
  let periods = 0;
  return text.replaceAll(PERIOD, (period) => (++periods > PERIODS_REMOVED ? period : ''));
}

/**
 * The mean, over all annotators, of how many of the others gave this answer, where three are enough.
 * Answers are normalized only where the annotators do not all say the same, to the letter.
 * @returns from 0 to 1
 * @example vqaAccuracy('2', ['two', '2', '2', 'three', …]) // 0.9 and more
 */
export function vqaAccuracy(answer: string, annotators: readonly string[]): number {
  const trimmed = [answer, ...annotators].map(trim);
  const differ = new Set(trimmed.slice(1)).size > 1;
  const [given = '', ...others] = differ ? trimmed.map(normalizeAnswer) : trimmed;
  const agreeing = others.filter((other) => other === given).length;
  return mean(
    others.map((other) => Math.min(1, (agreeing - (other === given ? 1 : 0)) / AGREEING)),
  );
}

function trim(text: string): string {
  return text.replaceAll(/[\n\t]/g, ' ').trim();
}

/** Exact match of the normalized texts, as the authors of BLIP-2 count on GQA. @returns 0 or 1 */
export function gqaAccuracy(answer: string, truth: string): number {
  return normalizeAnswer(answer) === normalizeAnswer(truth) ? 1 : 0;
}
