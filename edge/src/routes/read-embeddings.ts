/** `GET /v1/embeddings/{sha256}`: cached embeddings of an image, without the GPU worker. */
import { embeddingIdOf, imagePathOf } from '@blip2/shared/cache-key';
import { ApiError } from '@blip2/shared/errors';
import { embeddingInstruction } from '@blip2/shared/generation/instruction';
import { IMAGE_ID, type ImageId } from '@blip2/shared/image-id';
import { CachedEmbeddingsQuery } from '@blip2/shared/schemas/embeddings';
import { validate } from '@blip2/shared/validate';
import { storeOf } from '../dependencies.ts';
import { embeddingMediaType, represent } from '../embeddings/represent.ts';
import { cacheUnavailable, unknownImage } from '../embeddings/resolve-embeddings.ts';
import { matchesTag } from '../http/content-negotiation.ts';
import { fieldsFromForm } from '../http/form-fields.ts';
import { parseUrlEncoded } from '../http/url-encoded.ts';
import { type AppContext, type Handler, requestContextOf } from './app-context.ts';
import { beforeWork, embeddingsCost, largeReply } from './large-reply.ts';

/** @throws ApiError `invalid-request` */
export function imageIdInPath(c: AppContext): ImageId {
  // Some tools write hashes in capitals.
  const id = (c.req.param('sha256') ?? '').toLowerCase();
  // The path of many at a time has the form of this one.
  if (id === 'lookup') {
    const headers = { allow: 'POST, OPTIONS' };
    const detail = `${c.req.method} is not possible here; use POST, OPTIONS.`;
    throw new ApiError('method-not-allowed', detail, { headers });
  }
  if (IMAGE_ID.test(id)) return id;
  throw new ApiError('invalid-request', 'The hash must be 64 lower-case hexadecimal digits.', {
    field: 'sha256',
  });
}

export const readEmbeddings: Handler = async (c, deps) => {
  const id = imageIdInPath(c);
  const query = parseUrlEncoded(new URL(c.req.url).search.slice(1));
  const options = validate(CachedEmbeddingsQuery, fieldsFromForm(query, CachedEmbeddingsQuery));
  const instructionIds = embeddingInstruction(deps.models.generate, options);
  const mediaType = embeddingMediaType(c.req.header('accept'));
  const store = storeOf(deps, options.kind);
  const context = requestContextOf(c, deps);
  const embeddingId = await embeddingIdOf(imagePathOf(context.namespace, id), instructionIds);
  const lookup = await store.cache.lookup(embeddingId, context);
  if (lookup.kind === 'miss') {
    if (lookup.reason === 'failed') throw cacheUnavailable();
    if (lookup.reason === 'damaged') context.waitUntil(store.cache.delete(embeddingId, context));
    throw await unknownImage(store, { id, instructionIds }, context, 'sha256');
  }
  // The namespace is not: the same image has the same in each. Revision and instruction are part of the tag: other embeddings are another representation.
  const parts = [
    ...embeddingId
      .split('/')
      .slice(1)
      .map((hash) => hash.slice(0, 32)),
    store.model.revision.slice(0, 16),
    mediaType.slice(-4),
  ];
  const tag = `"${parts.join('-')}"`;
  // JSON also names the tier that had them: the same embeddings, not the same bytes.
  const etag = mediaType === 'application/json' ? `W/${tag}` : tag;
  const who = context.namespace === '' ? 'public' : 'private';
  const headers = { etag, vary: 'accept', 'cache-control': `${who}, no-cache` };
  if (matchesTag(c.req.header('if-none-match'), tag)) {
    return new Response(null, { status: 304, headers });
  }
  const cache = deps.config.showCache ? lookup.tier : undefined;
  const located = { id, entry: lookup.entry, cache };
  await beforeWork(c, deps, embeddingsCost(mediaType, store.shape));
  const { body, headers: described } = represent(mediaType, store, located);
  const length = { 'content-length': String(body.byteLength) };
  return await largeReply(c, deps, body, { ...headers, ...described, ...length });
};
