/** Runs the retrieval model on texts: their ids, their embeddings, and how well they match an image. */
import { ApiError } from '@blip2/shared/errors';
import type { ImageId } from '@blip2/shared/image-id';
import type { GpuTimings, ImageInfo, MatchScore } from '@blip2/shared/wire';
import type { Dependencies } from '../dependencies.ts';
import type { RequestContext } from '../request-context.ts';

/** `scores` in the order of the texts. */
export type MatchResult = { image: ImageInfo; scores: MatchScore[]; timings_ms: GpuTimings };

/**
 * @param image its bytes: ITM attends to all its features, for which its embeddings do not suffice
 * @param texts token ids of each
 * @throws ApiError of the GPU worker
 */
export async function matchTexts(
  { gpu }: Pick<Dependencies, 'gpu'>,
  { bytes, id }: { bytes: Uint8Array; id: ImageId },
  texts: number[][],
  context: RequestContext,
): Promise<MatchResult> {
  let image: ImageInfo | undefined;
  let scores: MatchScore[] | undefined;
  let timings_ms: GpuTimings = {};
  const source = { type: 'image', payload: bytes, imageId: id } as const;
  for await (const event of gpu.run({ kind: 'match', texts }, source, context)) {
    if (event.type === 'imageInfo') image = event.image;
    if (event.type === 'scores') scores = event.scores;
    if (event.type === 'done') timings_ms = event.timings_ms;
  }
  if (image === undefined || scores?.length !== texts.length) throw incomplete();
  return { image, scores, timings_ms };
}

/**
 * ITC's unit vectors of texts, [texts][width].
 * @param texts token ids of each
 * @throws ApiError of the GPU worker
 */
export async function embedTexts(
  { gpu }: Pick<Dependencies, 'gpu'>,
  texts: number[][],
  context: RequestContext,
): Promise<number[][]> {
  let embeddings: number[][] | undefined;
  for await (const event of gpu.run({ kind: 'embed-texts', texts }, null, context)) {
    if (event.type === 'texts') embeddings = event.embeddings;
  }
  if (embeddings?.length !== texts.length) throw incomplete();
  return embeddings;
}

function incomplete(): ApiError {
  return new ApiError('bad-gateway', 'The GPU worker sent an incomplete reply.');
}
