/** What requests of Hugging Face's clients have in common. */
import * as z from 'zod/mini';
import { described } from '../described.ts';

/** An image as a text of JSON. */
export const imageText = described(
  z.string({ error: 'must be an image: base64, or an http(s) or data: URL' }),
  'The image: base64, an http(s) or `data:` URL, or the SHA-256 of one that was sent before.',
  'https://images.example.org/pizza-and-octopus.webp',
);

/** How long the inference service waits and what it remembers; there is one way here. */
export const clientOptions = described(
  z.optional(
    z.strictObject({
      use_cache: described(z.optional(z.boolean()), 'Accepted: it changes no reply.', true),
      wait_for_model: described(z.optional(z.boolean()), 'Accepted: the model is there.', true),
      use_gpu: described(z.optional(z.boolean()), 'Accepted: it changes no reply.', true),
    }),
  ),
  'Options of the service, which change no reply.',
);
