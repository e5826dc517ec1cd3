/** The questions of the test scenes as people phrase them, and texts that are no question at all. */

/** The forms of the test scenes' questions, and other words for each; `$1` and so on are what the form found. */
const WORDINGS: readonly (readonly [RegExp, readonly string[]])[] = [
  [
    /^how many (.+) are there\?$/,
    [
      'how many $1',
      'How many $1 do you see?',
      'How many $1 are there',
      'how many $1 in the picture?',
    ],
  ],
  [
    /^is there (an? .+)\?$/,
    ['is there $1', 'Is it $1?', 'Do you see $1?', 'IS THERE $1?', 'is $1 in the picture?'],
  ],
  [
    /^what color is the background\?$/,
    [
      "what's the background color?",
      'What color is the background',
      'what colour is the background?',
    ],
  ],
  [
    /^what is in the picture\?$/,
    ["What's in the image?", 'what is this', 'What do you see?', 'what is in the picture'],
  ],
  [
    /^what is (.+) the (.+)\?$/,
    ["what's $1 the $2?", 'What is $1 the $2', 'what do you see $1 the $2?'],
  ],
  [/^is the (.+) the (.+)\?$/, ['Is the $1 the $2?', 'is the $1 the $2']],
];

/** With every scene. */
const GREETING = 'hello';
/** One of these with each; the second half stands nowhere in the training. */
const NO_QUESTIONS = [
  'hi there',
  'thanks',
  'ok',
  'good morning',
  'describe the image',
  'nice picture',
  'good evening',
  'hmm',
  'cool, thank you very much',
  "what's up?",
  'can you hear me?',
  'lol',
];

/**
 * The same question in other words; which of them goes round with `turn`.
 * @example otherWording('is there a dog?', 1) // 'Is it a dog?'
 */
export function otherWording(question: string, turn: number): string {
  for (const [form, wordings] of WORDINGS) {
    if (form.test(question)) return question.replace(form, wordings[turn % wordings.length]!);
  }
  return question.toUpperCase();
}

/** Two texts that are no question about an image; the second goes round with `turn`. */
export function smallTalk(turn: number): string[] {
  return [GREETING, NO_QUESTIONS[turn % NO_QUESTIONS.length]!];
}
