/** `POST /v1/embeddings` computes and keeps; `GET /v1/embeddings/{sha256}` reads what is kept, never the GPU. */
import { isSha256 } from '@blip2/shared/cache-key';
import { decodeEmbeddings, embeddingPayload } from '@blip2/shared/embedding-codec';
import { ApiError } from '@blip2/shared/errors';
import type { EmbeddingsReply } from '@blip2/shared/schemas/embeddings';
import type { CacheResult } from '@blip2/shared/schemas/image';
import * as z from 'zod/mini';
import type { KnownImage } from '../cache/embedding-cache.ts';
import { openPicture } from '../image/source.ts';
import { model } from '../model.ts';
import { toNpy } from '../npy.ts';
import { readBody } from '../request/body.ts';
import { matchesTag, negotiate } from '../request/negotiate.ts';
import { validate } from '../request/validate.ts';
import { find, see, unknownImage } from '../see.ts';
import { type AppContext, scopeOf, serverTiming } from './context.ts';

const SHAPE = { numQueries: model.num_query_tokens, hidden: model.qformer_hidden };
const FORMS = ['application/json', 'application/octet-stream', 'application/x-npy'] as const;
type Form = (typeof FORMS)[number];

const NoOptions = z.strictObject({});

/** The reply waits until the embeddings are kept: the client may read them at once. */
export async function createEmbeddings(c: AppContext): Promise<Response> {
  const services = c.get('services');
  const scope = scopeOf(c);
  const { source } = await readBody(c.req.raw, services.settings, (fields) =>
    validate(NoOptions, fields),
  );
  const picture = await openPicture(source, services.settings, scope.signal);
  const found = await find(services, picture, scope);
  const foundAt = Date.now();
  const { revision } = model;
  const request = { kind: 'embed', request_id: scope.id, revision, deadline_ms: 1 } as const;
  let cache: CacheResult = 'miss';
  let known: KnownImage | undefined;
  let timings: Record<string, number | undefined> = {};
  for await (const event of see(services, picture, found, request, scope)) {
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
  return c.json(toReply(picture.sha256, known, cache), 200, {
    'server-timing': serverTiming({ gpu: Date.now() - foundAt, ...timings }),
    'cache-control': 'no-store',
  });
}

export async function readEmbeddings(c: AppContext): Promise<Response> {
  const sha256 = c.req.param('sha256') ?? '';
  if (!isSha256(sha256)) {
    throw new ApiError('invalid-request', 'The hash must be 64 lower-case hexadecimal digits.', {
      field: 'sha256',
    });
  }
  const form = negotiate(c.req.header('accept'), FORMS);
  if (form === null) {
    throw new ApiError('not-acceptable', `Embeddings come as ${FORMS.join(', ')}.`);
  }
  const { cache } = c.get('services');
  const scope = scopeOf(c);
  const lookup = await cache.lookup(sha256, scope.waitUntil);
  if (lookup.kind === 'miss') {
    if (lookup.damaged) scope.waitUntil(cache.drop(sha256));
    throw unknownImage();
  }
  // The revision stands in the tag: another model's embeddings are another representation.
  const tag = `"${sha256.slice(0, 32)}-${model.revision.slice(0, 16)}-${form.slice(-4)}"`;
  const headers = { etag: tag, vary: 'accept', 'cache-control': 'public, no-cache' };
  if (matchesTag(c.req.header('if-none-match'), tag)) {
    return new Response(null, { status: 304, headers });
  }
  const body = represent(form, sha256, lookup.known, lookup.tier);
  return new Response(body, {
    headers: {
      ...headers,
      'content-type': form,
      'content-length': String(body.byteLength),
      'x-shape': `${SHAPE.numQueries}, ${SHAPE.hidden}`,
    },
  });
}

function represent(
  form: Form,
  sha256: string,
  known: KnownImage,
  cache: CacheResult,
): Uint8Array<ArrayBufferLike> {
  switch (form) {
    case 'application/json':
      return new TextEncoder().encode(JSON.stringify(toReply(sha256, known, cache)));
    case 'application/octet-stream':
      return embeddingPayload(known.embeddings, SHAPE);
    case 'application/x-npy':
      return toNpy(embeddingPayload(known.embeddings, SHAPE), [SHAPE.numQueries, SHAPE.hidden]);
  }
}

function toReply(sha256: string, known: KnownImage, cache: CacheResult): EmbeddingsReply {
  const { numQueries, hidden, values } = decodeEmbeddings(known.embeddings, SHAPE);
  const embeddings = Array.from({ length: numQueries }, (_, query) =>
    Array.from(values.subarray(query * hidden, (query + 1) * hidden)),
  );
  return { embeddings, image: { sha256, ...known.image }, model: model.name, cache };
}
