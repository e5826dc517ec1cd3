/** Labels and embeddings as Hugging Face's clients ask for them. */
import * as z from 'zod/mini';
import { MAX_TEXTS } from '../../wire.ts';
import { described } from '../described.ts';
import { closed } from '../places.ts';
import { clientOptions, imageText } from './options.ts';

const text = (what: string) => z.string({ error: what }).check(z.regex(/\S/, 'must not be empty'));

const labels = z
  .array(text('must be a text'), { error: 'must be a list of texts' })
  .check(z.minLength(1), z.maxLength(MAX_TEXTS));

/** Each of the labels gets a copy of it, so that what is long costs 64 times as much as it has bytes. */
const MAX_TEMPLATE = 256;
const template = z
  .string()
  .check(
    z.maxLength(MAX_TEMPLATE),
    z.includes('{}', { error: 'must have {} in place of the label' }),
  );

export const ZeroShotParameters = z.strictObject({
  candidate_labels: described(labels, 'What the image may show.', ['a pizza', 'two cows']),
  hypothesis_template: described(
    z.optional(template),
    `The sentence that a label completes in place of \`{}\`, of ${MAX_TEMPLATE} characters at most; else that is the label alone, as in captions.`,
    'a photo of {}',
  ),
});

/** Of the request, and of its `inputs`. */
const labeled = {
  image: 'send the image as inputs.image',
  text: 'send the texts as parameters.candidate_labels',
};

export const ZeroShotRequest = described(
  closed(
    {
      inputs: described(
        z.union([imageText, closed({ image: imageText }, labeled)], { error: 'must be {image}' }),
        'The image.',
        { image: 'https://images.example.org/pizza-and-octopus.webp' },
      ),
      parameters: described(ZeroShotParameters, 'The labels.', {
        candidate_labels: ['a pizza', 'two cows'],
      }),
      options: clientOptions,
    },
    labeled,
  ),
  'An image, and labels of which one fits.',
);

export const ZeroShotReply = described(
  z.array(
    z.object({
      label: described(z.string(), 'The label.', 'a pizza'),
      score: described(z.number(), 'How likely it is among the labels: all add up to 1.', 0.98),
    }),
  ),
  'The labels, the likeliest first.',
);
export type ZeroShotReply = z.infer<typeof ZeroShotReply>;

/** As many texts as OpenAI’s form takes. */
const MAX_INPUTS = 2048;
const input = text('must be a text, or the http(s) or data: URL of an image');

export const EmbeddingParameters = z.strictObject({
  normalize: described(z.optional(z.boolean()), '`true`: embeddings have the length 1.', true),
  dimensions: described(z.optional(z.int()), 'The width: that of the model is the only one.'),
  encoding_format: described(z.optional(z.string()), '`float` is the only one.', 'float'),
  truncate: described(
    z.optional(z.boolean()),
    'Whether of a text with more tokens than the model reads the rest is left out; else it is an error.',
    false,
  ),
  truncation_direction: described(
    z.optional(z.string().check(z.regex(/^(left|right)$/i, { error: 'must be right or left' }))),
    'Which end of such a text is left out: `right`, or `left`, in any case.',
    'right',
  ),
});
export type EmbeddingParameters = z.infer<typeof EmbeddingParameters>;

export const FeatureExtractionRequest = described(
  closed(
    {
      inputs: described(
        z.union([input, z.array(input).check(z.minLength(1), z.maxLength(MAX_INPUTS))]),
        'What to embed, one or several: texts, and images as http(s) or `data:` URLs, or as base64.',
        'a pizza above an octopus',
      ),
      ...EmbeddingParameters.shape,
      parameters: described(z.optional(EmbeddingParameters), 'The same options.', {
        normalize: true,
      }),
      options: clientOptions,
    },
    { image: 'send the image as inputs', text: 'send the text as inputs' },
  ),
  'What to embed.',
);

export const FeatureExtractionReply = described(
  z.union([z.array(z.number()), z.array(z.array(z.number()))]),
  'A unit vector, or one for each of several inputs in their order.',
  [0.6, 0.8, 0],
);
export type FeatureExtractionReply = z.infer<typeof FeatureExtractionReply>;

export const SentenceSimilarityRequest = described(
  closed(
    {
      inputs: described(
        z.strictObject({
          source_sentence: described(input, 'The sentence to compare with.', 'a pizza'),
          sentences: described(
            z.array(input).check(z.minLength(1), z.maxLength(MAX_INPUTS - 1)),
            'The sentences that are compared.',
            ['a slice of pizza', 'two cows'],
          ),
        }),
        'A sentence, and those that are compared with it.',
      ),
      parameters: described(z.optional(z.strictObject({})), 'Empty: there is none.', {}),
      options: clientOptions,
    },
    {
      image: 'images are compared by /hf/feature-extraction',
      text: 'send the texts as inputs.source_sentence and inputs.sentences',
    },
  ),
  'Sentences to compare.',
);

export const SentenceSimilarityReply = described(
  z.array(z.number()),
  'The cosine of each sentence’s embedding with the first one’s, in their order.',
  [0.91, 0.12],
);
