/** `POST /v1/embeddings/lookup`: cached embeddings of many images, without the GPU worker. */
import { ApiError } from '@blip2/shared/errors';
import { embeddingInstruction } from '@blip2/shared/generation/instruction';
import type { ImageId } from '@blip2/shared/image-id';
import { EmbeddingsLookupRequest } from '@blip2/shared/schemas/embeddings';
import { validate } from '@blip2/shared/validate';
import { type Dependencies, storeOf } from '../dependencies.ts';
import { expectInTime, heldBytes, lookupMany } from '../embeddings/lookup-many.ts';
import { type Listed, toJsonLines, toNpz, toSafetensors } from '../embeddings/represent-many.ts';
import { negotiateOrRefuse } from '../http/content-negotiation.ts';
import { holdBody } from '../http/held-bodies.ts';
import { readJsonObject } from '../http/request-body.ts';
import { streamOf } from '../http/stream.ts';
import {
  type AppContext,
  clientIn,
  type Handler,
  readingOf,
  requestContextOf,
} from './app-context.ts';

/** What counts as one request: the reads of KV that a look-up costs are those of its hashes. */
const HASHES_A_REQUEST = 100;
const HELD_MS = 3_600_000;

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
  // Its many reads take turns of their own.
  c.get('work')?.leave();
  const ids = request.sha256.map((hash) => hash.toLowerCase());
  refuseRepeated(ids);
  await c.get('account')?.admitMore(Math.ceil(ids.length / HASHES_A_REQUEST) - 1);
  const { kind, dtype } = request;
  const options = { dtype, instructionIds: embeddingInstruction(deps.models.generate, request) };
  const store = storeOf(deps, kind);
  const { shape, model } = store;
  const context = requestContextOf(c, deps);
  const lookup = (some: readonly ImageId[]) => lookupMany(store, some, options, context);
  const headers = { 'content-type': mediaType, 'cache-control': 'no-store', vary: 'accept' };
  const ends = holdReply(c, deps, heldBytes(store));
  switch (mediaType) {
    case 'application/x-ndjson':
      return new Response(await streamOf(toJsonLines(lookup(ids), shape), ends), { headers });
    case 'application/x-npz':
      return new Response(await streamOf(toNpz(lookup(ids), shape), ends), { headers });
    case 'application/x-safetensors': {
      // Its first bytes name all that comes.
      const listed: Listed = { found: [], missing: [] };
      try {
        for await (const { id, ...entry } of lookup(ids)) {
          if (entry.payload === undefined) listed.missing.push(id);
          else listed.found.push({ id, type: entry.type });
          expectInTime(context, deps.now());
        }
      } catch (thrown) {
        ends.onEnd();
        throw thrown;
      }
      const metadata = { model: model.name, revision: model.revision, kind };
      const again = lookup(listed.found.map(({ id }) => id));
      const { bytes, chunks } = toSafetensors(listed, shape, metadata, again);
      const { readable, writable } = new FixedLengthStream(bytes);
      const body = await streamOf(chunks, ends);
      // A client that leaves ends it.
      body.pipeTo(writable).catch(() => {});
      return new Response(readable, { headers });
    }
  }
};

/**
 * Who does not read on keeps what was looked up ahead in memory: that counts among the bodies of its client, and breaks off after
 * the time of a request.
 * @throws ApiError `too-many-requests`, `overloaded`
 */
function holdReply(c: AppContext, { config }: Dependencies, bytes: number) {
  const { maxHeldBytes, deadlineMs: stalledMs } = config;
  // Longer than it may stall after each of its parts; a client that goes on reading for an hour is counted no longer.
  const { signal } = c.req.raw;
  const held = holdBody(maxHeldBytes, { client: clientIn(c, config), ms: HELD_MS, signal });
  try {
    held.add(bytes);
  } catch (thrown) {
    held.close();
    throw thrown;
  }
  return { stalledMs, onEnd: () => held.close() };
}

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
