/** `POST /moondream/v1/caption` and `POST /moondream/v1/query`. */
import * as z from 'zod/mini';
import { described } from '../described.ts';
import { generationOptions } from '../generation.ts';
import { requestId } from '../headers.ts';
import { closed, noImage } from '../places.ts';

const imageUrl = described(
  z.string({ error: 'must be the data: or http(s) URL of an image' }),
  'The image: a `data:` or http(s) URL, base64, or the SHA-256 of one that was sent before.',
  'https://images.example.org/pizza-and-octopus.webp',
);

const common = {
  stream: described(
    z.optional(z.boolean()),
    'Whether the reply is a stream of server-sent events.',
    true,
  ),
  settings: described(
    z.optional(
      z.strictObject({
        temperature: generationOptions.temperature,
        top_p: generationOptions.top_p,
        max_tokens: generationOptions.max_tokens,
        variant: described(z.optional(z.string()), 'There is none: leave it out.'),
      }),
    ),
    'How the text is written.',
  ),
  variant: described(z.optional(z.string()), 'There is none: leave it out.'),
};

const AS_URL = 'send the image as image_url';

export const MoondreamCaptionRequest = described(
  closed(
    {
      image_url: imageUrl,
      length: described(
        z.optional(z.enum(['short', 'normal', 'long'])),
        '`short` and `long` are the best of a beam search that prefers such texts.',
        'normal',
      ),
      ...common,
    },
    { image: AS_URL, text: '/moondream/v1/query takes a question' },
  ),
  'An image to caption, as Moondream’s clients send it.',
);

export const MoondreamQueryRequest = described(
  closed(
    {
      question: described(
        z.string().check(z.regex(/\S/, 'must not be empty'), noImage(AS_URL)),
        'The question.',
        'what is above the octopus?',
      ),
      image_url: z.optional(imageUrl),
      reasoning: described(z.optional(z.boolean()), '`false`: the model does not reason.', false),
      spatial_refs: described(
        z.optional(z.array(z.array(z.number()))),
        'None can be read: leave it out, or empty.',
      ),
      ...common,
    },
    { image: AS_URL, text: 'send the text as question' },
  ),
  'A question about an image, as Moondream’s clients send it.',
);

const finishReason = described(
  z.enum(['stop', 'length']),
  'Why the text ended: at its end, or at `max_tokens` or the end of the context.',
  'stop',
);

export const MoondreamCaption = described(
  z.object({
    request_id: requestId,
    caption: described(z.string(), 'The caption.', 'a pizza above an octopus'),
    finish_reason: finishReason,
  }),
  'A caption.',
);
export type MoondreamCaption = z.infer<typeof MoondreamCaption>;

export const MoondreamAnswer = described(
  z.object({
    request_id: requestId,
    answer: described(z.string(), 'The answer.', 'a pizza'),
    finish_reason: finishReason,
  }),
  'An answer.',
);
export type MoondreamAnswer = z.infer<typeof MoondreamAnswer>;

export const MoondreamEvent = described(
  z.union([
    z.object({ chunk: described(z.string(), 'The next characters.', ' octopus') }),
    z.object({
      completed: described(z.literal(true), 'In the last event.'),
      request_id: requestId,
      finish_reason: finishReason,
    }),
  ]),
  'An event of a stream.',
);
export type MoondreamEvent = z.infer<typeof MoondreamEvent>;
