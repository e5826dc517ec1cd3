/** `POST /v1/embeddings` as OpenAI's clients send it: distinguished from our own form by its member `input`. */
import * as z from 'zod/mini';
import { described } from '../described.ts';
import { closed } from '../places.ts';
import { modelId } from './models.ts';
import { accepted } from './options.ts';

/** As many as OpenAI takes at once. */
const MAX_INPUTS = 2048;

const input = z
  .string({
    error: 'must be a text, or the http(s) or data: URL of an image; token ids are not read',
  })
  .check(z.regex(/\S/, 'must not be empty'));

export const OpenAiEmbeddingsRequest = described(
  closed(
    {
      input: described(
        z.union([input, z.array(input).check(z.minLength(1), z.maxLength(MAX_INPUTS))]),
        'What to embed, one or several: texts, and images as http(s) or `data:` URLs, or as base64.',
        ['a pizza above an octopus', 'an octopus above a pizza'],
      ),
      model: modelId,
      encoding_format: described(
        z.optional(z.enum(['float', 'base64'])),
        'Numbers, or base64 of their bytes: float32 in little endian.',
        'float',
      ),
      dimensions: described(
        z.optional(z.int()),
        'The width of the embeddings: that of the model is the only one.',
      ),
      user: accepted.user,
    },
    { image: 'put it into input, with the texts', text: 'put it into input' },
  ),
  'What to embed, as OpenAI’s clients say it.',
);

export const OpenAiEmbeddingsReply = described(
  z.object({
    object: described(z.literal('list'), 'Always `list`.'),
    data: described(
      z.array(
        z.object({
          object: described(z.literal('embedding'), 'Always `embedding`.'),
          index: described(z.int(), 'Which input it is of, from 0.', 0),
          embedding: described(
            z.union([z.array(z.number()), z.string()]),
            'A unit vector, as `encoding_format` asks for it.',
            [0.6, 0.8, 0],
          ),
        }),
      ),
      'One for each input, in their order.',
    ),
    model: described(z.string(), 'Name of the retrieval model.', 'blip2-scenes'),
    usage: described(
      z.object({
        prompt_tokens: described(
          z.int(),
          'Tokens of all texts, and query tokens of all images.',
          16,
        ),
        total_tokens: described(z.int(), 'The same.', 16),
      }),
      'What was read.',
    ),
  }),
  'ITC’s embeddings of texts and images, comparable by their dot product.',
);
export type OpenAiEmbeddingsReply = z.infer<typeof OpenAiEmbeddingsReply>;
