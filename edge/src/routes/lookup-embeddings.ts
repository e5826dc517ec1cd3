/** `POST /v1/embeddings/lookup`: cached embeddings of many images, without the GPU worker. */
import { ApiError } from '@blip2/shared/errors';
import { embeddingInstruction } from '@blip2/shared/generation/instruction';
import type { ImageId } from '@blip2/shared/image-id';
import { EmbeddingsLookupRequest } from '@blip2/shared/schemas/embeddings';
import { validate } from '@blip2/shared/validate';
import { storeOf } from '../dependencies.ts';
import { expectInTime, heldBytes, lookupMany } from '../embeddings/lookup-many.ts';
import { type Listed, toJsonLines, toNpz, toSafetensors } from '../embeddings/represent-many.ts';
import { negotiateOrRefuse } from '../http/content-negotiation.ts';
import { readJsonObject } from '../http/request-body.ts';
import { sentStreamOf } from '../http/stream.ts';
import { resultReads } from '../turns/bulk-reads.ts';
import { type Handler, readingOf, requestContextOf } from './app-context.ts';
import { holdReply, numbersCost } from './large-reply.ts';

/** What counts as one request: the reads of KV that a look-up costs are those of its hashes. */
const HASHES_A_REQUEST = 100;

/** What takes longer to write than others wait for is written with a pause before the next. */
const LONG_LINE_MS = 1;

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
  // Who does not read on keeps what was looked up ahead in memory.
  const ends = holdReply(c, deps.config, heldBytes(store));
  const { ms } = numbersCost(shape.numQueries * shape.hidden, '');
  // As pieces of job results.
  const { client = '', signal } = context;
  const inTurn = async <T>(make: () => T) =>
    ms < LONG_LINE_MS ? make() : await resultReads.run(client, async () => make(), { signal });
  switch (mediaType) {
    case 'application/x-ndjson':
      return new Response(await sentStreamOf(toJsonLines(lookup(ids), shape, inTurn), null, ends), {
        headers,
      });
    case 'application/x-npz':
      return new Response(await sentStreamOf(toNpz(lookup(ids), shape), null, ends), { headers });
    case 'application/x-safetensors': {
      // Its first bytes name all that comes.
      const listed: Listed = { found: [], missing: [] };
      try {
        for await (const { id, ...entry } of lookup(ids)) {
          if (entry.payload === undefined) listed.missing.push(id);
          else listed.found.push({ id, type: entry.type });
          ends.onPiece();
          expectInTime(context, deps.now());
        }
      } catch (thrown) {
        ends.onEnd();
        throw thrown;
      }
      const metadata = { model: model.name, revision: model.revision, kind };
      const again = lookup(listed.found.map(({ id }) => id));
      const { bytes, chunks } = toSafetensors(listed, shape, metadata, again);
      return new Response(await sentStreamOf(chunks, bytes, ends), { headers });
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
