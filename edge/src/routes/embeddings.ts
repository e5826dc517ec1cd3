/** `POST /v1/embeddings` computes and keeps; `GET /v1/embeddings/{sha256}` reads what is kept, never the GPU. */
import { decodeEmbeddings, embeddingPayload } from '@blip2/shared/embedding-codec';
import { ApiError } from '@blip2/shared/errors';
import { IMAGE_ID } from '@blip2/shared/image-id';
import {
  EmbeddingsOptions,
  type EmbeddingsReply,
  type TextEmbeddingsReply,
} from '@blip2/shared/schemas/embeddings';
import type { CacheResult } from '@blip2/shared/schemas/image';
import type { EmbeddingKind, GpuTimings } from '@blip2/shared/wire';
import * as z from 'zod/mini';
import { shapeOf, storeOf } from '../dependencies.ts';
import type { KnownImage } from '../embeddings/embedding-cache.ts';
import { toNpy } from '../embeddings/npy.ts';
import { find, see, unknownImage } from '../embeddings/resolve-embeddings.ts';
import { matchesTag, negotiate } from '../http/content-negotiation.ts';
import { readOptionalImage, required } from '../http/request-body.ts';
import { validate } from '../http/validate.ts';
import { type ImageSource, resolveImage } from '../image/image-source.ts';
import { model, retrievalModel } from '../model-manifest.ts';
import { embedTexts, retrievalIds } from '../retrieval/retrieve.ts';
import { type AppContext, scopeOf, serverTiming } from './request-context.ts';

const FORMS = ['application/json', 'application/octet-stream', 'application/x-npy'] as const;
type Form = (typeof FORMS)[number];

const ReadOptions = z.strictObject({ kind: EmbeddingsOptions.shape.kind });

export async function createEmbeddings(c: AppContext): Promise<Response> {
  const { settings } = c.get('services');
  const { source, fields } = await readOptionalImage(c.req.raw, settings, (members) =>
    validate(EmbeddingsOptions, members),
  );
  const { kind, text } = fields;
  if (text === undefined) return ofImage(c, required(source), kind);
  if (source !== undefined) {
    const detail = 'Send an image or a text, not both: they have embeddings of their own.';
    throw new ApiError('invalid-request', detail, { field: 'text' });
  }
  if (kind !== 'itc') {
    const detail = 'kind: a text has embeddings of the kind itc only.';
    throw new ApiError('invalid-request', detail, { field: 'kind' });
  }
  return ofTexts(c, typeof text === 'string' ? [text] : text);
}

async function ofTexts(c: AppContext, texts: readonly string[]): Promise<Response> {
  const { name } = retrievalModel();
  const ids = retrievalIds(texts, 'text');
  const embeddings = await embedTexts(c.get('services'), ids, scopeOf(c));
  const reply: TextEmbeddingsReply = { embeddings, kind: 'itc', model: name };
  return c.json(reply, 200, { 'cache-control': 'no-store' });
}

/** The reply waits until the embeddings are kept: the client may read them at once. */
async function ofImage(c: AppContext, source: ImageSource, kind: EmbeddingKind): Promise<Response> {
  const services = c.get('services');
  const store = storeOf(services, kind);
  const scope = scopeOf(c);
  const input = await resolveImage(source, services.settings, scope.signal);
  const readAt = Date.now();
  const found = await find(store, input, scope);
  const foundAt = Date.now();
  const { revision } = servedFor(kind);
  const head = { request_id: scope.id, revision, deadline_ms: 1 };
  const request = { kind: 'embed', ...head, embedding: kind } as const;
  let cache: CacheResult = 'miss';
  let known: KnownImage | undefined;
  let timings: GpuTimings = {};
  for await (const event of see({ ...services, ...store }, input, found, request, scope)) {
    if (event.type === 'image') cache = event.cache;
    if (event.type === 'done') timings = event.done.timings_ms;
    if (event.type === 'embeddings') {
      known = event.known;
      await event.kept;
    }
  }
  if (known === undefined) {
    throw new ApiError('bad-gateway', 'The GPU worker sent no embeddings.');
  }
  return c.json(toReply(input.sha256, known, { cache, kind }), 200, {
    'server-timing': serverTiming(c, { readAt, foundAt }, timings),
    'cache-control': 'no-store',
  });
}

function servedFor(kind: EmbeddingKind): { name: string; revision: string } {
  return kind === 'query' ? model : retrievalModel();
}

export async function readEmbeddings(c: AppContext): Promise<Response> {
  const sha256 = c.req.param('sha256') ?? '';
  if (!IMAGE_ID.test(sha256)) {
    throw new ApiError('invalid-request', 'The hash must be 64 lower-case hexadecimal digits.', {
      field: 'sha256',
    });
  }
  const { kind } = validate(ReadOptions, c.req.query());
  const form = negotiate(c.req.header('accept'), FORMS);
  if (form === null) {
    throw new ApiError('not-acceptable', `Embeddings come as ${FORMS.join(', ')}.`);
  }
  const { cache } = storeOf(c.get('services'), kind);
  const scope = scopeOf(c);
  const lookup = await cache.lookup(sha256, scope.waitUntil);
  if (lookup.kind === 'miss') {
    if (lookup.damaged) scope.waitUntil(cache.drop(sha256));
    throw unknownImage();
  }
  // The revision stands in the tag: another model's embeddings are another representation.
  const tag = `"${sha256.slice(0, 32)}-${servedFor(kind).revision.slice(0, 16)}-${form.slice(-4)}"`;
  // JSON also says which tier had them: the same embeddings, not the same bytes.
  const etag = form === 'application/json' ? `W/${tag}` : tag;
  const headers = { etag, vary: 'accept', 'cache-control': 'public, no-cache' };
  if (matchesTag(c.req.header('if-none-match'), tag)) {
    return new Response(null, { status: 304, headers });
  }
  const shape = shapeOf(kind);
  const body = represent(form, sha256, lookup.known, { cache: lookup.tier, kind });
  return new Response(body, {
    headers: {
      ...headers,
      'content-type': form,
      'content-length': String(body.byteLength),
      'x-shape': `${shape.numQueries}, ${shape.hidden}`,
    },
  });
}

type Origin = { cache: CacheResult; kind: EmbeddingKind };

function represent(
  form: Form,
  sha256: string,
  known: KnownImage,
  origin: Origin,
): Uint8Array<ArrayBufferLike> {
  const shape = shapeOf(origin.kind);
  switch (form) {
    case 'application/json':
      return new TextEncoder().encode(JSON.stringify(toReply(sha256, known, origin)));
    case 'application/octet-stream':
      return asHalves(embeddingPayload(known.embeddings, shape));
    case 'application/x-npy':
      return toNpy(embeddingPayload(known.embeddings, shape), [shape.numQueries, shape.hidden]);
  }
}

/** fp16, whatever they are kept in. */
function asHalves({ type, payload }: ReturnType<typeof embeddingPayload>): Uint8Array {
  if (type === 'float16') return payload;
  return new Uint8Array(new Float16Array(new Float32Array(payload.slice().buffer)).buffer);
}

function toReply(sha256: string, known: KnownImage, { cache, kind }: Origin): EmbeddingsReply {
  const { numQueries, hidden, values } = decodeEmbeddings(known.embeddings, shapeOf(kind));
  const embeddings = Array.from({ length: numQueries }, (_, query) =>
    Array.from(values.subarray(query * hidden, (query + 1) * hidden)),
  );
  const image = { sha256, ...known.image };
  return { embeddings, kind, image, model: servedFor(kind).name, cache };
}
