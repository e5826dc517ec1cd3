/** `POST /v1/embeddings`: computes and caches the embeddings of an image, or embeds texts. */
import { ApiError } from '@blip2/shared/errors';
import { EmbeddingsOptions, type TextEmbeddingsReply } from '@blip2/shared/schemas/embeddings';
import type { EmbeddingKind } from '@blip2/shared/wire';
import { type Dependencies, storeOf } from '../dependencies.ts';
import { embedImage } from '../embeddings/embed-image.ts';
import { toEmbeddingsReply } from '../embeddings/represent.ts';
import { locateEmbeddings } from '../embeddings/resolve-embeddings.ts';
import { embeddingInstruction } from '../generation/instruction.ts';
import { readRequest, requireImage } from '../http/request-body.ts';
import { serverTiming } from '../http/server-timing.ts';
import { validate } from '../http/validate.ts';
import { type ImageSource, resolveImage } from '../image/image-source.ts';
import { retrievalModel } from '../model-manifest.ts';
import { embedTexts, retrievalIds } from '../retrieval/retrieve.ts';
import { type AppContext, type Handler, requestContextOf } from './app-context.ts';

export const createEmbeddings: Handler = async (c, deps) => {
  const { source, fields } = await readRequest(c.req.raw, deps.config, (members) => {
    const options = validate(EmbeddingsOptions, members);
    return { ...options, instructionIds: embeddingInstruction(deps.models.generate, options) };
  });
  const { kind, text, instructionIds } = fields;
  if (text === undefined) return ofImage(c, deps, requireImage(source), { kind, instructionIds });
  if (source !== undefined) {
    const detail = 'Send an image or a text, not both: each has its own embeddings.';
    throw new ApiError('invalid-request', detail, { field: 'text' });
  }
  if (kind !== 'itc') {
    const detail = 'kind: must be itc, the only embeddings that a text has.';
    throw new ApiError('invalid-request', detail, { field: 'kind' });
  }
  return ofTexts(c, deps, typeof text === 'string' ? [text] : text);
};

async function ofTexts(
  c: AppContext,
  deps: Dependencies,
  texts: readonly string[],
): Promise<Response> {
  const model = retrievalModel(deps.models);
  const ids = retrievalIds(model, texts, 'text');
  const embeddings = await embedTexts(deps, ids, requestContextOf(c, deps));
  const reply: TextEmbeddingsReply = { embeddings, kind: 'itc', model: model.name };
  return c.json(reply, 200, { 'cache-control': 'no-store' });
}

async function ofImage(
  c: AppContext,
  deps: Dependencies,
  source: ImageSource,
  { kind, instructionIds }: { kind: EmbeddingKind; instructionIds: number[] | undefined },
): Promise<Response> {
  const store = storeOf(deps, kind);
  const context = requestContextOf(c, deps);
  const input = await resolveImage(deps, source, context);
  const readAt = deps.now();
  const image = await locateEmbeddings(store, { ...input, instructionIds }, context);
  const locatedAt = deps.now();
  const { entry, cache, timings_ms } = await embedImage(deps, store, image, context);
  const marks = { startedAt: c.get('startedAt'), readAt, locatedAt, endedAt: deps.now() };
  return c.json(toEmbeddingsReply(store, { id: image.id, entry, cache }), 200, {
    'server-timing': serverTiming(marks, timings_ms),
    'cache-control': 'no-store',
  });
}
