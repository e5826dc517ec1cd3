/** Texts for the model that compares: their ids, their embeddings, and how well they fit an image. */
import { ApiError } from '@blip2/shared/errors';
import type { GpuTimings, ImageInfo, MatchScore } from '@blip2/shared/wire';
import type { Scope, Services } from '../dependencies.ts';
import { inTime } from '../embeddings/resolve-embeddings.ts';
import { retrievalModel, retrievalTokenizer } from '../model-manifest.ts';

/** Tokenizing takes time by the character: this is far beyond what any text may hold. */
const MAX_TEXT_CHARACTERS = 4096;

/** @throws ApiError `prompt-too-long` naming the text, with its count and the limit */
export function retrievalIds(texts: readonly string[], field: string): number[][] {
  const { max_positions: limit, cls_token_id, sep_token_id } = retrievalModel();
  return texts.map((text, i) => {
    const where = { field: texts.length > 1 ? `${field}.${i}` : field };
    const tooLong = (unit: string, most: number, actual: number) => {
      const detail = `${where.field} has ${actual} ${unit}; at most ${most} fit.`;
      return new ApiError('prompt-too-long', detail, { ...where, limit: most, actual });
    };
    if (text.length > MAX_TEXT_CHARACTERS) {
      throw tooLong('characters', MAX_TEXT_CHARACTERS, text.length);
    }
    const ids = [cls_token_id, ...retrievalTokenizer().encode(text), sep_token_id];
    if (ids.length > limit) throw tooLong('tokens', limit, ids.length);
    return ids;
  });
}

export type Compared = { image: ImageInfo; scores: MatchScore[]; timings_ms: GpuTimings };

/**
 * @param bytes the image's bytes: ITM looks at the image itself, so that embeddings do not do
 * @throws ApiError of the GPU worker
 */
export async function match(
  { gpu }: Services,
  bytes: Uint8Array,
  texts: number[][],
  scope: Scope,
): Promise<Compared> {
  const request = { kind: 'match', ...head(scope), texts } as const;
  let image: ImageInfo | undefined;
  let scores: MatchScore[] | undefined;
  let timings_ms: GpuTimings = {};
  const attachment = { type: 'image', payload: bytes } as const;
  for await (const event of gpu.run(inTime(request, scope), attachment, scope.signal)) {
    if (event.type === 'image') image = event.image;
    if (event.type === 'scores') scores = event.scores;
    if (event.type === 'done') timings_ms = event.done.timings_ms;
  }
  if (image === undefined || scores?.length !== texts.length) throw incomplete();
  return { image, scores, timings_ms };
}

/** ITC's unit vectors of texts, [texts][width]. @throws ApiError of the GPU worker */
export async function embedTexts(
  { gpu }: Services,
  texts: number[][],
  scope: Scope,
): Promise<number[][]> {
  const request = { kind: 'embed-texts', ...head(scope), texts } as const;
  let embeddings: number[][] | undefined;
  for await (const event of gpu.run(inTime(request, scope), null, scope.signal)) {
    if (event.type === 'texts') embeddings = event.embeddings;
  }
  if (embeddings?.length !== texts.length) throw incomplete();
  return embeddings;
}

function head({ id: request_id }: Scope) {
  return { request_id, revision: retrievalModel().revision, deadline_ms: 1 };
}

function incomplete(): ApiError {
  return new ApiError('bad-gateway', 'The GPU worker left its reply incomplete.');
}
