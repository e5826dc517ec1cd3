/** Values in KV that the edge did not write so: each is an image's embeddings, or as good as absent. */
import { createHash } from 'node:crypto';
import { embeddingKey, imagePathOf } from '@blip2/shared/cache-key';
import { encodeEmbeddings } from '@blip2/shared/embedding-codec';
import type { ImageId } from '@blip2/shared/image-id';
import * as fc from 'fast-check';
import { byteEdit, editBytes } from '../generate/byte-edits.ts';
import { hostileJson } from '../generate/hostile.ts';
import { editJson, jsonEdit } from '../generate/json-edits.ts';
import { type ApiDocument, checkReply } from '../http/described.ts';
import { exchange, type HttpInput } from '../http/exchange.ts';
import { HANG_MS } from '../stack.ts';
import type { Target } from '../target.ts';

export type KvInput = {
  value: Uint8Array;
  /** JSON; not valid for none. */
  metadata: string;
  ask: 'embeddings' | 'caption' | 'stream';
};

const BINDING = 'EMBEDDINGS';

export const KV: Target<KvInput> = {
  name: 'kv',
  about: 'values and metadata in KV, read by hash',
  share: 4,
  lanes: 4,
  open: async (shared) => {
    const { stack, image, watch } = await shared.stack();
    const {
      revision,
      preprocessing,
      num_query_tokens: numQueries,
      qformer_hidden: hidden,
    } = stack.model;
    const document = (await (await fetch(`${stack.url}/openapi.json`)).json()) as ApiDocument;
    const kv = await stack.kv(BINDING);
    const space = { kind: 'query', revision, preprocessing } as const;
    const known = await kv.getWithMetadata(
      embeddingKey(space, imagePathOf('', image.sha256 as ImageId)),
      'arrayBuffer',
    );
    if (known.value === null) throw new Error('The edge has cached nothing in KV.');
    const intact = new Uint8Array(known.value);
    const values = new Float32Array(numQueries * hidden).fill(0.1);
    const odd = fc
      .tuple(fc.nat(values.length - 1), fc.constantFrom(Number.NaN, Number.POSITIVE_INFINITY))
      .map(([at, value]) =>
        encodeEmbeddings({ numQueries, hidden, values: values.with(at, value) }, 'float32'),
      );
    const inputs: fc.Arbitrary<KvInput> = fc.record({
      value: fc.oneof(
        fc.constant(intact),
        fc
          .array(byteEdit(64), { minLength: 1, maxLength: 3 })
          .map((edits) => editBytes(intact, edits)),
        odd,
        fc.uint8Array({ maxLength: 100 }),
      ),
      metadata: fc.oneof(
        { weight: 2, arbitrary: fc.constant(JSON.stringify(known.metadata)) },
        fc.array(jsonEdit(), { maxLength: 2 }).map((edits) => editJson(known.metadata, edits)),
        hostileJson,
      ),
      ask: fc.constantFrom('embeddings', 'caption', 'stream'),
    });
    return {
      inputs,
      run: async ({ value, metadata, ask }) => {
        // What was asked for once is remembered: each input has an image of its own.
        const sha256 = createHash('sha256')
          .update(value)
          .update(metadata)
          .update(ask)
          .digest('hex');
        const metadataValue = parsed(metadata);
        const key = embeddingKey(space, imagePathOf('', sha256 as ImageId));
        await kv.put(key, value, metadataValue === undefined ? {} : { metadata: metadataValue });
        const input = requestFor(sha256, ask);
        const reply = await exchange(stack.url, input, HANG_MS);
        return reply === null ? 'closed' : checkReply(document, input, reply);
      },
      settle: await watch(),
      [Symbol.asyncDispose]: async () => {},
    };
  },
};

/** KV takes metadata of 1 KiB at most, and the local one's interface no such names. */
function parsed(text: string): unknown {
  try {
    return text.length > 1000 || text.includes('__proto__')
      ? undefined
      : (JSON.parse(text) ?? undefined);
  } catch {
    return undefined;
  }
}

function requestFor(sha256: string, ask: KvInput['ask']): HttpInput {
  const none = { headers: [], body: new Uint8Array(), cuts: [], leaveAfter: null };
  if (ask === 'embeddings') return { ...none, method: 'GET', target: `/v1/embeddings/${sha256}` };
  const body = { image: { sha256 }, max_tokens: 2, stream: ask === 'stream' };
  return {
    ...none,
    method: 'POST',
    target: '/v1/captions',
    headers: [['content-type', 'application/json']],
    body: Buffer.from(JSON.stringify(body)),
  };
}
