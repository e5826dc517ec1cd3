/** One request of the edge: frames in, frames out. */
import { createHash } from 'node:crypto';
import {
  decodeEmbeddings,
  EmbeddingCodecError,
  type EmbeddingShape,
  type EmbeddingType,
  embeddingTypeOf,
  encodeEmbeddings,
} from '@blip2/shared/embedding-codec';
import { ApiError } from '@blip2/shared/errors';
import { encodeFrame, encodeJsonFrame, encodeTokensFrame, type Frame } from '@blip2/shared/frames';
import type {
  GpuDone,
  GpuRequest,
  GpuScores,
  GpuTexts,
  GpuTimings,
  ImageInfo,
} from '@blip2/shared/wire';
import type { Job, JobEvent, Pixels } from '../engine/protocol.ts';
import { openImage } from '../image/decode.ts';
import { preprocess } from '../image/preprocess.ts';
import { type Models, modelKindOf, type RunContext, type RunRequest } from './parse-request.ts';

/**
 * Frames of the reply, each as soon as it is known: `imageInfo` and `embeddings` for an image, then what was
 * asked for, `done`.
 * @throws ApiError overloaded, or what the image makes impossible
 */
export async function* run(
  { request, source }: RunRequest,
  context: RunContext,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array<ArrayBuffer>, void, undefined> {
  const { engine, models } = context;
  const standing = { client: request.client ?? '', priority: request.priority ?? 'interactive' };
  using _place = engine.admit(standing);
  const decoding: Pick<GpuTimings, 'decode_image'> = {};
  let input: Pixels | undefined;
  if (source?.type === 'image') {
    const start = performance.now();
    const { info, pixels } = await openImageSource(source.payload, request, context);
    decoding.decode_image = performance.now() - start;
    yield encodeJsonFrame('imageInfo', info);
    input = pixels;
  }
  const job = jobOf(request, input, source, models);
  for await (const event of engine.run(job, signal, standing)) {
    yield frameOf(event, keptAs(request, models), decoding);
  }
}

async function openImageSource(
  bytes: Uint8Array,
  request: GpuRequest,
  { models, limits }: RunContext,
): Promise<{ info: ImageInfo; pixels: Pixels }> {
  const { info, pixels } = await openImage(bytes, limits);
  const { image, preprocessing } = models[modelKindOf(request)] ?? models.generate;
  const prepared = await preprocess(pixels, image);
  const key = `${preprocessing} ${createHash('sha256').update(bytes).digest('hex')}`;
  return { info, pixels: { kind: 'pixels', key, pixels: prepared } };
}

function jobOf(
  request: GpuRequest,
  input: Pixels | undefined,
  source: Frame | undefined,
  models: Models,
): Job {
  if (request.kind === 'embed-texts') return { kind: 'embed-texts', texts: request.texts };
  if (request.kind === 'generate') {
    const { input_ids: inputIds, generation: config } = request;
    const given = input ?? givenEmbeddings(source, keptAs(request, models).shape);
    return { kind: 'generate', source: given, inputIds, config };
  }
  if (input === undefined) {
    throw new ApiError('no-image', `To ${request.kind}, an image is needed.`);
  }
  return request.kind === 'match'
    ? { kind: 'match', source: input, texts: request.texts }
    : { kind: 'embed', source: input, embedding: request.embedding };
}

function frameOf(
  event: JobEvent,
  { shape, type }: KeptEmbeddings,
  decoding: Pick<GpuTimings, 'decode_image'>,
): Uint8Array<ArrayBuffer> {
  switch (event.type) {
    case 'embeddings':
      return encodeFrame('embeddings', encodeEmbeddings({ ...shape, values: event.values }, type));
    case 'tokens':
      return encodeTokensFrame(event);
    case 'scores':
      return encodeJsonFrame('scores', { scores: event.scores } satisfies GpuScores);
    case 'texts': {
      const embeddings = event.embeddings.map((vector) => Array.from(vector));
      return encodeJsonFrame('texts', { embeddings } satisfies GpuTexts);
    }
    case 'done': {
      const choices = event.choices.map(({ finishReason, completionTokens, ...rest }) => ({
        finish_reason: finishReason,
        completion_tokens: completionTokens,
        ...rest,
      }));
      const timings_ms = { ...event.timings, ...decoding };
      return encodeJsonFrame('done', { choices, timings_ms } satisfies GpuDone);
    }
    case 'failed':
      throw new Error(event.message);
  }
}

type KeptEmbeddings = { shape: EmbeddingShape; type: EmbeddingType };

/** The embeddings that a request is about. */
function keptAs(request: GpuRequest, { generate, retrieve }: Models): KeptEmbeddings {
  if (modelKindOf(request) === 'retrieve' && retrieve !== undefined) {
    return {
      shape: { numQueries: retrieve.num_query_tokens, hidden: retrieve.itc_hidden },
      type: embeddingTypeOf(retrieve.precision),
    };
  }
  return {
    shape: { numQueries: generate.num_query_tokens, hidden: generate.qformer_hidden },
    type: embeddingTypeOf(generate.precision),
  };
}

function givenEmbeddings(source: Frame | undefined, shape: EmbeddingShape) {
  if (source?.type !== 'embeddings') {
    throw new ApiError('invalid-request', 'The second frame must be an image or embeddings.');
  }
  try {
    return { kind: 'embeddings', values: decodeEmbeddings(source.payload, shape).values } as const;
  } catch (cause) {
    if (!(cause instanceof EmbeddingCodecError)) throw cause;
    const detail = `The embeddings cannot be used: ${cause.message}.`;
    throw new ApiError('invalid-request', detail, { cause });
  }
}
