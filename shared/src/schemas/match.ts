/** `POST /v1/match`. */
import * as z from 'zod/mini';
import { MAX_TEXTS, MatchScore } from '../wire.ts';
import { described, describedMembers } from './described.ts';
import { requestId } from './headers.ts';
import { ImageReply, RequestImage } from './image.ts';

const text = z.string().check(z.regex(/\S/, 'must not be empty'));

/** Members of a request other than its image. */
export const MatchOptions = z.strictObject({
  texts: described(
    z.array(text).check(z.minLength(1), z.maxLength(MAX_TEXTS)),
    'The texts to compare with the image.',
    ['a pizza above an octopus', 'an octopus above a pizza'],
  ),
});

export const MatchRequest = described(
  z.strictObject({ image: RequestImage, ...MatchOptions.shape }),
  'An image and texts. The image must be sent: its hash does not suffice here.',
);

const Score = z.object({
  text: described(z.string(), 'The text.', 'a pizza above an octopus'),
  ...describedMembers(MatchScore.shape, {
    itm: ["ITM's probability, from 0 to 1, that the text belongs to the image.", 0.97],
    itc: [
      "ITC's similarity, from -1 to 1: the best dot product of the text's embedding with those of the image.",
      0.41,
    ],
  }),
});

export const MatchReply = described(
  z.object({
    id: requestId,
    scores: described(z.array(Score), 'One for each text, in their order.'),
    image: ImageReply,
    model: described(z.string(), 'Name of the retrieval model.', 'blip2-scenes'),
  }),
  'How well each text fits the image.',
);
export type MatchReply = z.infer<typeof MatchReply>;
