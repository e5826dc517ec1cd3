/** `POST /api/embed`, and `POST /api/embeddings`, its older form. */
import * as z from 'zod/mini';
import { described } from '../described.ts';
import { closed } from '../places.ts';
import { ofEveryRequest } from './options.ts';

const MAX_INPUTS = 2048;

const input = z
  .string({ error: 'must be a text, or the http(s) or data: URL of an image' })
  .check(z.regex(/\S/, 'must not be empty'));

const common = {
  ...ofEveryRequest,
  options: described(z.optional(z.looseObject({})), 'Accepted: none of them changes an embedding.'),
};

const vector = z.array(z.number());

export const OllamaEmbedRequest = described(
  closed(
    {
      ...common,
      input: described(
        z.union([input, z.array(input).check(z.minLength(1), z.maxLength(MAX_INPUTS))]),
        'What to embed, one or several: texts, and images as http(s) or `data:` URLs, or as base64.',
        ['a pizza above an octopus', 'an octopus above a pizza'],
      ),
      truncate: described(
        z.optional(z.boolean()),
        'Whether a text that is too long is cut, as it is where nothing is said; `false` makes it an error.',
        true,
      ),
      dimensions: described(
        z.optional(z.int()),
        'The width of the embeddings: that of the model is the only one.',
      ),
    },
    { image: 'put it into input, with the texts', text: 'put it into input' },
  ),
  'What to embed, as Ollama’s clients say it.',
);

export const OllamaEmbedReply = described(
  z.object({
    model: described(z.string(), 'The model, as the request names it.', 'blip2-scenes'),
    embeddings: described(z.array(vector), 'Unit vectors, one for each input, in their order.', [
      [0.6, 0.8, 0],
    ]),
    total_duration: described(z.int(), 'Nanoseconds from the request to its end.', 9_000_000),
    load_duration: described(z.int(), 'Nanoseconds to load the model, which always is.', 0),
    prompt_eval_count: described(
      z.int(),
      'Tokens of all texts, and query tokens of all images.',
      16,
    ),
  }),
  'ITC’s embeddings, comparable by their dot product.',
);
export type OllamaEmbedReply = z.infer<typeof OllamaEmbedReply>;

export const OllamaEmbeddingsRequest = described(
  closed(
    {
      ...common,
      prompt: described(
        input,
        'What to embed: a text, or an image as http(s) or `data:` URL, or as base64.',
        'a pizza above an octopus',
      ),
    },
    { image: 'put it into prompt', text: 'put it into prompt' },
  ),
  'A text to embed, as older clients of Ollama say it.',
);

export const OllamaEmbeddingsReply = described(
  z.object({ embedding: described(vector, 'A unit vector.', [0.6, 0.8, 0]) }),
  'ITC’s embedding of the text.',
);
export type OllamaEmbeddingsReply = z.infer<typeof OllamaEmbeddingsReply>;
