/** The control tokens that the `post_processor` of a tokenizer.json puts in front of a text and behind it. */
import * as z from 'zod/mini';
import { shortly } from '../../config/strict-keys.ts';
import { CheckpointError } from '../../errors.ts';

export type Frame = { before: number[]; after: number[] };

/** One of the two. */
const Piece = z.object({
  SpecialToken: z.optional(z.looseObject({ id: z.string() })),
  Sequence: z.optional(z.looseObject({ id: z.literal('A') })),
});
const Template = z.looseObject({
  type: z.literal('TemplateProcessing'),
  single: z.array(Piece),
  special_tokens: z.record(z.string(), z.looseObject({ ids: z.array(z.int()) })),
});
const Pair = z.looseObject({
  type: z.enum(['BertProcessing', 'RobertaProcessing']),
  sep: z.tuple([z.string(), z.int()]),
  cls: z.tuple([z.string(), z.int()]),
});
const ByteLevel = z.looseObject({ type: z.literal('ByteLevel') });
const Sequence = z.looseObject({
  type: z.literal('Sequence'),
  processors: z.array(z.unknown()),
});
const PostProcessor = z.discriminatedUnion('type', [Template, Pair, ByteLevel, Sequence]);

/**
 * @returns null where the file has no post-processor
 * @throws CheckpointError when it is of another kind
 */
export function frameTokens(postProcessor: unknown): Frame | null {
  if (postProcessor === null || postProcessor === undefined) return null;
  const parsed = PostProcessor.safeParse(postProcessor).data;
  switch (parsed?.type) {
    case undefined:
      throw new CheckpointError(
        `tokenizer.json: post_processor ${shortly(postProcessor)} is not supported.`,
      );
    case 'ByteLevel':
      // Of offsets only.
      return { before: [], after: [] };
    case 'BertProcessing':
    case 'RobertaProcessing':
      return { before: [parsed.cls[1]], after: [parsed.sep[1]] };
    case 'Sequence':
      // Each frames what the one before it made.
      return parsed.processors.map(frameTokens).reduce<Frame>(
        (inner, outer) => ({
          before: [...(outer?.before ?? []), ...inner.before],
          after: [...inner.after, ...(outer?.after ?? [])],
        }),
        { before: [], after: [] },
      );
    case 'TemplateProcessing':
      return frameOfTemplate(parsed);
  }
}

function frameOfTemplate({ single, special_tokens }: z.infer<typeof Template>): Frame {
  const frame: Frame = { before: [], after: [] };
  let side: keyof Frame = 'before';
  for (const piece of single) {
    if (piece.Sequence !== undefined) side = 'after';
    else if (piece.SpecialToken !== undefined) {
      frame[side].push(...(special_tokens[piece.SpecialToken.id]?.ids ?? []));
    }
  }
  return frame;
}
