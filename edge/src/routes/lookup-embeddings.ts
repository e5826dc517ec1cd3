/** `POST /v1/embeddings/lookup`: cached embeddings of many images, without the GPU worker. */
import { ApiError } from '@blip2/shared/errors';
import { embeddingInstruction } from '@blip2/shared/generation/instruction';
import type { ImageId } from '@blip2/shared/image-id';
import { EmbeddingsLookupRequest } from '@blip2/shared/schemas/embeddings';
import { storeOf } from '../dependencies.ts';
import { expectInTime, lookupMany } from '../embeddings/lookup-many.ts';
import { type Listed, toJsonLines, toNpz, toSafetensors } from '../embeddings/represent-many.ts';
import { negotiateOrRefuse } from '../http/content-negotiation.ts';
import { readJsonObject } from '../http/request-body.ts';
import { streamOf } from '../http/stream.ts';
import { validate } from '../http/validate.ts';
import { type Handler, readingOf, requestContextOf } from './app-context.ts';

const MEDIA_TYPES = [
  'application/x-ndjson',
  'application/x-safetensors',
  'application/x-npz',
] as const;

export const lookupEmbeddings: Handler = async (c, deps) => {
  const mediaType = negotiateOrRefuse(c.req.header('accept'), MEDIA_TYPES);
  const request = validate(
    EmbeddingsLookupRequest,
    await readJsonObject(c.req.raw, readingOf(c, deps)),
  );
  const ids = request.sha256.map((hash) => hash.toLowerCase());
  refuseRepeated(ids);
  const { kind, dtype } = request;
  const options = { dtype, instructionIds: embeddingInstruction(deps.models.generate, request) };
  const store = storeOf(deps, kind);
  const { shape, model } = store;
  const context = requestContextOf(c, deps);
  const lookup = (some: readonly ImageId[]) => lookupMany(store, some, options, context);
  const headers = { 'content-type': mediaType, 'cache-control': 'no-store', vary: 'accept' };
  switch (mediaType) {
    case 'application/x-ndjson':
      return new Response(await streamOf(toJsonLines(lookup(ids), shape)), { headers });
    case 'application/x-npz':
      return new Response(await streamOf(toNpz(lookup(ids), shape)), { headers });
    case 'application/x-safetensors': {
      // Its first bytes name all that comes.
      const listed: Listed = { found: [], missing: [] };
      for await (const { id, ...entry } of lookup(ids)) {
        if (entry.payload === undefined) listed.missing.push(id);
        else listed.found.push({ id, type: entry.type });
        expectInTime(context, deps.now());
      }
      const metadata = { model: model.name, revision: model.revision, kind };
      const again = lookup(listed.found.map(({ id }) => id));
      const { bytes, chunks } = toSafetensors(listed, shape, metadata, again);
      const { readable, writable } = new FixedLengthStream(bytes);
      const body = await streamOf(chunks);
      // A client that leaves ends it.
      body.pipeTo(writable).catch(() => {});
      return new Response(readable, { headers });
    }
  }
};

function refuseRepeated(ids: readonly ImageId[]): void {
  const places = new Map<ImageId, number>();
  for (const [place, id] of ids.entries()) {
    const first = places.get(id);
    if (first !== undefined) {
      const field = `sha256.${place}`;
      const detail = `${field}: is the same hash as sha256.${first}; send each once.`;
      throw new ApiError('invalid-request', detail, { field });
    }
    places.set(id, place);
  }
}
