/** Names that other libraries have for members of a request: those that are taken, and what to write instead of the rest. */
import * as z from 'zod/mini';
import { generationParameterOptions as parameters } from '../wire.ts';

/** Our name for each name that means exactly the same elsewhere. */
export const SAME_OPTION = {
  max_new_tokens: 'max_tokens',
  max_completion_tokens: 'max_tokens',
  min_new_tokens: 'min_tokens',
  num_return_sequences: 'n',
} as const;

const asInTransformers = (name: string) => ({
  description: `Another name of \`${name}\`, as in transformers.`,
});

/** Members under their other names. Given under two names, a value must be the same. */
export const otherNames = {
  max_new_tokens: z
    .optional(parameters.max_tokens)
    .register(z.globalRegistry, asInTransformers('max_tokens')),
  max_completion_tokens: z.optional(parameters.max_tokens).register(z.globalRegistry, {
    description: 'Another name of `max_tokens`, as in OpenAI’s API.',
  }),
  min_new_tokens: z
    .optional(parameters.min_tokens)
    .register(z.globalRegistry, asInTransformers('min_tokens')),
  num_return_sequences: z.optional(parameters.n).register(z.globalRegistry, asInTransformers('n')),
  do_sample: z.optional(z.boolean()).register(z.globalRegistry, {
    description:
      'As in transformers: `true` samples, with `temperature` 1 where none is given; `false` is `temperature: 0`, and a ' +
      '`temperature` other than 0 and 1 contradicts it.',
    examples: [false],
  }),
};

/** Names that options of a text have somewhere: of those of one line each route takes one, or some. */
const OPTIONS: readonly [names: readonly string[], note?: string][] = [
  [['max_tokens', 'max_output_tokens', 'num_predict', 'max_new_tokens', 'max_completion_tokens']],
  [
    ['max_tokens', 'max_new_tokens', 'max_output_tokens', 'num_predict', 'max_length'],
    'which counts the tokens of the new text alone',
  ],
  [['min_tokens', 'min_new_tokens', 'min_length'], 'which counts the tokens of the new text alone'],
  [['num_beams', 'beam_size']],
  [['stop', 'stop_strings', 'stop_sequences'], 'and the text ends before it'],
  [['do_sample', 'temperature', 'use_nucleus_sampling']],
  [['n', 'num_return_sequences', 'num_captions']],
  [['seed', 'random_seed']],
  [['repetition_penalty', 'repeat_penalty']],
];

/**
 * What to write instead of an option under a name that is not taken.
 * @param takes whether a name is taken
 * @example otherOption('beam_size', (name) => name === 'num_beams') // 'use num_beams'
 */
export function otherOption(name: string, takes: (name: string) => boolean): string | undefined {
  for (const [names, note] of OPTIONS) {
    const other = names.includes(name) ? names.find(takes) : undefined;
    if (other !== undefined) return `use ${other}${note === undefined ? '' : `, ${note}`}`;
  }
  return undefined;
}

/** What to write on our own routes instead of a name that is not taken, because it means something else or nothing there. */
export const UNKNOWN_FIELDS: Readonly<Record<string, string>> = {
  image_url: 'use image.url, or image with the URL',
  image_base64: 'use image.data',
  base64: 'use image.data',
  b64_json: 'use image.data',
  image_data: 'use image.data',
  url: 'use image.url',
  sha256: 'use image.sha256',
  path: 'files of yours cannot be read here; send the bytes',
  images: 'send one image, as image',
  file: 'send the image as image',
  Image: 'send the image as image',
  img: 'send the image as image',
  picture: 'send the image as image',
  photo: 'send the image as image',
  text_input: 'use question or prompt',
  messages: 'use question and history',
  model: 'one model is served, and /healthz names it',
};

/** Where members that only one route has belong. */
export const OTHER_ROUTES: Readonly<Record<string, string>> = {
  question: '/v1/answers takes it',
  history: '/v1/answers takes it',
  prompt: '/v1/captions takes it, as the beginning of a caption',
};
