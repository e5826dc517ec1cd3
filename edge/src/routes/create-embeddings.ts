/** `POST /v1/embeddings`: computes and caches the embeddings of an image, or embeds texts; in OpenAI's form as well. */
import { ApiError } from '@blip2/shared/errors';
import { embeddingInstruction } from '@blip2/shared/generation/instruction';
import {
  EmbeddingsOptions,
  EmbeddingsRequest,
  type TextEmbeddingsReply,
} from '@blip2/shared/schemas/embeddings';
import { retrievalModel } from '@blip2/shared/served-models';
import { validate } from '@blip2/shared/validate';
import type { EmbeddingKind } from '@blip2/shared/wire';
import { type Dependencies, storeOf } from '../dependencies.ts';
import { createOpenAiEmbeddings, isOpenAiEmbeddings } from '../dialects/openai/embeddings.ts';
import { embedImage } from '../embeddings/embed-image.ts';
import {
  type EmbeddingMediaType,
  embeddingMediaType,
  represent,
  representTexts,
} from '../embeddings/represent.ts';
import { locateEmbeddings } from '../embeddings/resolve-embeddings.ts';
import { readRequest, requireImage } from '../http/request-body.ts';
import { serverTiming } from '../http/server-timing.ts';
import { type ImageSource, resolveImage } from '../image/image-source.ts';
import { embedTexts } from '../retrieval/retrieve.ts';
import { tokenizeTexts } from '../retrieval/tokenize-texts.ts';
import { type AppContext, type Handler, readingOf, requestContextOf } from './app-context.ts';
import { beforeWork, embeddingsCost, largeReply, numbersCost } from './large-reply.ts';

const NOT_STORED = { 'cache-control': 'no-store', vary: 'accept' };

export const createEmbeddings: Handler = async (c, deps) => {
  const mediaType = embeddingMediaType(c.req.header('accept'));
  const { source, fields } = await readRequest(c.req.raw, readingOf(c, deps), {
    schema: EmbeddingsRequest,
    check: (members) => {
      const isOpenAi = isOpenAiEmbeddings(members);
      c.set('dialect', isOpenAi ? 'openai' : 'native');
      if (isOpenAi) return { openAi: members };
      const options = validate(EmbeddingsOptions, members);
      return { ...options, instructionIds: embeddingInstruction(deps.models.generate, options) };
    },
  });
  if ('openAi' in fields) {
    const image = source && { image: 'an image' };
    return createOpenAiEmbeddings(c, deps, { ...fields.openAi, ...image });
  }
  const { text, ...options } = fields;
  if (text === undefined) {
    return ofImage(c, deps, { source: requireImage(source), ...options, mediaType });
  }
  if (source !== undefined) {
    const detail = 'Send an image or a text, not both: each has its own embeddings.';
    throw new ApiError('invalid-request', detail, { field: 'text' });
  }
  if (options.kind !== 'itc') {
    const detail = 'kind: must be itc, the only embeddings that a text has.';
    throw new ApiError('invalid-request', detail, { field: 'kind' });
  }
  return ofTexts(c, deps, { texts: typeof text === 'string' ? [text] : text, mediaType });
};

async function ofTexts(
  c: AppContext,
  deps: Dependencies,
  { texts, mediaType }: { texts: readonly string[]; mediaType: EmbeddingMediaType },
): Promise<Response> {
  const model = retrievalModel(deps.models);
  const context = requestContextOf(c, deps);
  const ids = await tokenizeTexts(deps, model, { texts, field: 'text' }, context);
  const embeddings = await embedTexts(deps, ids, context);
  const reply: TextEmbeddingsReply = { embeddings, kind: 'itc', model: model.name };
  const numbers = mediaType === 'application/json' ? embeddings.length * model.itc_hidden : 0;
  await beforeWork(c, deps, numbersCost(numbers, 'fewer texts'));
  const { body, headers } = representTexts(mediaType, embeddings, reply);
  return await largeReply(c, deps, body, { ...headers, ...NOT_STORED });
}

type ImageRequest = {
  source: ImageSource;
  kind: EmbeddingKind;
  instruction?: string | undefined;
  /** Of the instruction, or of the one that captions have; undefined where the model reads none. */
  instructionIds: number[] | undefined;
  mediaType: EmbeddingMediaType;
};

async function ofImage(
  c: AppContext,
  deps: Dependencies,
  { source, kind, instruction, instructionIds, mediaType }: ImageRequest,
): Promise<Response> {
  const store = storeOf(deps, kind);
  const context = requestContextOf(c, deps);
  const input = await resolveImage(deps, source, context);
  const readAt = deps.now();
  const image = await locateEmbeddings(store, { ...input, instructionIds }, context);
  const locatedAt = deps.now();
  const { entry, cache, timings_ms } = await embedImage(deps, store, image, context);
  const marks = { startedAt: c.get('startedAt'), readAt, locatedAt, endedAt: deps.now() };
  await beforeWork(c, deps, embeddingsCost(mediaType, store.shape));
  const { body, headers } = represent(mediaType, store, {
    id: image.id,
    entry,
    cache: deps.config.showCache ? cache : undefined,
  });
  const query = new URLSearchParams({
    kind,
    ...(instruction === undefined ? {} : { instruction }),
  });
  return await largeReply(c, deps, body, {
    ...headers,
    ...NOT_STORED,
    'server-timing': serverTiming(marks, timings_ms),
    // The bare forms do not name the image; this path, which has the same for GET, does.
    'content-location': `/v1/embeddings/${image.id}?${query}`,
  });
}
