/** The GPU worker's own door: frames of requests that no edge would send. */
import { encodeEmbeddings } from '@blip2/shared/embedding-codec';
import { encodeFrame, encodeJsonFrame, FRAMES_MEDIA_TYPE } from '@blip2/shared/frames';
import * as fc from 'fast-check';
import { type ByteEdit, byteEdit, editBytes } from '../generate/byte-edits.ts';
import { hostileJson } from '../generate/hostile.ts';
import { editJson, jsonEdit } from '../generate/json-edits.ts';
import { exchange, type HttpInput } from '../http/exchange.ts';
import { checkFrames } from '../http/worker-reply.ts';
import { type FuzzStack, HANG_MS } from '../stack.ts';
import type { Target } from '../target.ts';

const DEADLINE_MS = 10_000;

/** Requests that the worker answers, and what each is followed by. */
function requestsOf({ stack: { model }, image }: FuzzStack) {
  const { revision, num_query_tokens: numQueries, qformer_hidden: hidden, retrieval } = model;
  const head = { request_id: 'fuzz', deadline_ms: DEADLINE_MS, client: 'a' };
  const ofImage = encodeFrame('image', image.bytes);
  const shape = { numQueries, hidden };
  const values = new Float32Array(shape.numQueries * shape.hidden).fill(0.1);
  const ofEmbeddings = encodeFrame('embeddings', encodeEmbeddings({ ...shape, values }, 'float32'));
  const generation = {
    max_tokens: 2,
    temperature: 1,
    top_p: 0.9,
    top_k: 5,
    repetition_penalty: 1.1,
    seed: 1,
    n: 1,
    num_beams: 1,
    logprobs: true,
    top_logprobs: 2,
  };
  const text = { ...head, kind: 'generate', revision, input_ids: [2, 5], generation };
  const requests: [request: object, source: Uint8Array | null][] = [
    [text, ofEmbeddings],
    [text, ofImage],
    [{ ...head, kind: 'embed', embedding: 'query', revision }, ofImage],
  ];
  if (retrieval !== undefined) {
    const of = { ...head, revision: retrieval.revision };
    requests.push(
      [{ ...of, kind: 'embed', embedding: 'itc' }, ofImage],
      [{ ...of, kind: 'match', texts: [[2, 5, 3]] }, ofImage],
      [
        {
          ...of,
          kind: 'embed-texts',
          texts: [
            [2, 5, 3],
            [2, 3],
          ],
        },
        null,
      ],
    );
  }
  return { requests, values, shape };
}

/** Values of embeddings that arithmetic does not keep finite. */
const ODD_VALUES = [
  Number.NaN,
  Number.POSITIVE_INFINITY,
  Number.NEGATIVE_INFINITY,
  3.4e38,
  1e-45,
  -3.4e38,
];

function bodies(service: FuzzStack): fc.Arbitrary<Uint8Array> {
  const { requests, values, shape } = requestsOf(service);
  const chosen = fc.constantFrom(...requests);
  const sources = requests.flatMap(([, source]) => (source === null ? [] : [source]));
  const json = fc
    .tuple(chosen, fc.array(jsonEdit(), { maxLength: 3 }))
    .map(([[request, source], edits]) =>
      Buffer.concat([
        encodeFrame('request', new TextEncoder().encode(editJson(request, edits))),
        source ?? new Uint8Array(),
      ]),
    );
  const embeddings = fc
    .record({
      at: fc.nat(values.length - 1),
      value: fc.constantFrom(...ODD_VALUES),
      all: fc.boolean(),
      type: fc.constantFrom('float16' as const, 'float32' as const),
      more: fc.constantFrom(0, 0, 0, 1, -1, 1000),
    })
    .map(({ at, value, all, type, more }) => {
      const spoiled = all ? values.map(() => value) : values.with(at, value);
      const other = { ...shape, numQueries: Math.max(1, shape.numQueries + more) };
      const filled = new Float32Array(other.numQueries * other.hidden);
      filled.set(spoiled.subarray(0, filled.length));
      const frame = encodeFrame('embeddings', encodeEmbeddings({ ...other, values: filled }, type));
      return Buffer.concat([encodeJsonFrame('request', requests[0]?.[0]), frame]);
    });
  const whole = fc.oneof({ weight: 6, arbitrary: json }, { weight: 2, arbitrary: embeddings });
  const spoiled = fc
    .tuple(whole, fc.array(fc.oneof(byteEdit(8), byteEdit(400)), { minLength: 1, maxLength: 3 }))
    .map(([bytes, edits]: [Uint8Array, ByteEdit[]]) => editBytes(bytes, edits));
  const more = fc
    .tuple(
      chosen,
      fc.constantFrom(
        ...sources,
        encodeFrame('image', new Uint8Array()),
        encodeFrame('done', new Uint8Array(2)),
      ),
      fc.constantFrom(1, 2, 100, 20_000),
    )
    .map(([[request, source], frame, count]) => {
      const times = Math.min(count, Math.ceil(2_000_000 / frame.length));
      const first = encodeJsonFrame('request', request);
      return Buffer.concat([
        first,
        source ?? new Uint8Array(),
        ...Array<Uint8Array>(times).fill(frame),
      ]);
    });
  const odd = fc.oneof(
    fc.uint8Array({ maxLength: 100 }),
    hostileJson.map((text) => encodeFrame('request', new TextEncoder().encode(text))),
    fc.constantFrom(...sources),
  );
  return fc.oneof(
    { weight: 6, arbitrary: whole },
    { weight: 4, arbitrary: spoiled },
    { weight: 1, arbitrary: more },
    { weight: 1, arbitrary: odd },
  );
}

export const DOOR: Target<HttpInput> = {
  name: 'worker',
  about: "the GPU worker's POST /v1/run: frames, their JSON and their embeddings",
  share: 14,
  lanes: 4,
  open: async (shared) => {
    const service = await shared.stack();
    const inputs = fc.record({
      method: fc.oneof(
        { weight: 40, arbitrary: fc.constant('POST') },
        fc.constantFrom('GET', 'PUT'),
      ),
      target: fc.oneof(
        { weight: 40, arbitrary: fc.constant('/v1/run') },
        fc.constantFrom('/v1/run/', '/', '/%'),
      ),
      headers: fc.oneof(
        {
          weight: 20,
          arbitrary: fc.constant<HttpInput['headers']>([['content-type', FRAMES_MEDIA_TYPE]]),
        },
        fc.constantFrom<HttpInput['headers']>(
          [],
          [['x-request-id', 'x'.repeat(5000)]],
          [['content-encoding', 'gzip']],
        ),
      ),
      body: bodies(service),
      cuts: fc.oneof(
        { weight: 3, arbitrary: fc.constant([]) },
        fc.array(fc.nat(2 ** 16), { maxLength: 6 }),
      ),
      leaveAfter: fc.oneof({ weight: 15, arbitrary: fc.constant(null) }, fc.nat(8000)),
    });
    return {
      inputs,
      run: async (input) => {
        const startedAt = performance.now();
        const reply = await exchange(service.stack.workerUrl, input, HANG_MS);
        if (reply === null) return input.leaveAfter === null ? 'closed' : 'left';
        const isShort = performance.now() - startedAt < DEADLINE_MS / 2;
        const sent = Buffer.from(input.body).toString('latin1');
        return await checkFrames(reply, { sent, isShort });
      },
      settle: await service.watch(),
      [Symbol.asyncDispose]: async () => {},
    };
  },
};
