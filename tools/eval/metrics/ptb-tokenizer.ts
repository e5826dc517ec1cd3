/**
 * Words of a caption as coco-caption counts them: Penn Treebank tokens in lower case, without punctuation.
 *
 * coco-caption runs a Java program under the GPL for this (PTBTokenizer of Stanford CoreNLP 3.4.1). These are its
 * rules as far as captions need them; docs/evaluation.md lists in what they differ.
 */

/** Tokens that coco-caption drops. */
const PUNCTUATION = new Set(["''", "'", '``', '`', '.', '?', '!', ',', ':', '-', '--', '...', ';']);

/** Words whose period is theirs. */
const ABBREVIATIONS = new Set(
  'mr. mrs. ms. dr. prof. st. jr. sr. vs. etc. e.g. i.e. a.m. p.m. inc. corp. ltd. u.s. u.k.'.split(
    ' ',
  ),
);

/** Words that the Treebank cuts though nothing in them shows where. */
const CUT_WORDS: Readonly<Record<string, string>> = {
  cannot: 'can not',
  gimme: 'gim me',
  gonna: 'gon na',
  gotta: 'got ta',
  lemme: 'lem me',
  wanna: 'wan na',
};

/** Brackets have names, which are no punctuation to coco-caption: it knows them in upper case only. */
const BRACKETS: Readonly<Record<string, string>> = {
  '(': '-lrb-',
  ')': '-rrb-',
  '[': '-lsb-',
  ']': '-rsb-',
  '{': '-lcb-',
  '}': '-rcb-',
};

/**
 * @example ptbTokens("The dog's ball isn't red.") // ['the', 'dog', "'s", 'ball', 'is', "n't", 'red']
 */
export function ptbTokens(caption: string): string[] {
  const spaced = caption
    .toLowerCase()
    .replaceAll(/[‘’]/g, "'")
    .replaceAll(/[“”"]/g, ' " ')
    .replaceAll(/…|\.{2,}/g, ' ... ')
    .replaceAll(/[–—]|-{2,}/g, ' -- ')
    .replaceAll(/[()[\]{}]/g, (bracket) => ` ${BRACKETS[bracket]} `)
    .replaceAll(/[;?!@#$%&*=<>+]/g, ' $& ')
    // Within a number they are part of it.
    .replaceAll(/[,:](?!\d)|(?<!\d)[,:]/g, ' $& ');
  return spaced
    .split(/\s+/)
    .flatMap(cutWord)
    .filter((token) => token !== '' && token !== '"' && !PUNCTUATION.has(token));
}

function cutWord(word: string): string[] {
  if (word in CUT_WORDS) return CUT_WORDS[word]!.split(' ');
  if (word === '...') return [];
  if (word.endsWith('.') && !isAbbreviation(word)) return cutWord(word.slice(0, -1));
  const bare = word.replace(/^'+(?!(s|d|m|ll|re|ve)$)/, '');
  const [, stem, clitic] = /^(.+?)(n't|'(?:s|d|m|ll|re|ve))$/.exec(bare) ?? [];
  if (stem !== undefined && clitic !== undefined) return [...cutWord(stem), clitic];
  return [bare.replace(/'+$/, '')];
}

function isAbbreviation(word: string): boolean {
  return ABBREVIATIONS.has(word) || /^(?:[a-z]\.){2,}$/.test(word);
}
