/** One request of the edge: frames in, frames out. */
import { createHash } from 'node:crypto';
import type { GenerateManifest } from '@blip2/shared/bundle-manifest';
import {
  decodeEmbeddings,
  EmbeddingCodecError,
  encodeEmbeddings,
} from '@blip2/shared/embedding-codec';
import { ApiError } from '@blip2/shared/errors';
import {
  decodeJson,
  encodeFrame,
  encodeJsonFrame,
  encodeTokensFrame,
  type Frame,
  FrameError,
  readFrames,
} from '@blip2/shared/frames';
import {
  type GenerationConfig,
  type GpuDone,
  GpuRequest,
  type GpuTimings,
} from '@blip2/shared/wire';
import type { EngineClient } from './engine/client.ts';
import type { Job, JobSource } from './engine/messages.ts';
import { type ImageLimits, openImage } from './image/decode.ts';
import { preprocess } from './image/preprocess.ts';

export type RunContext = { engine: EngineClient; manifest: GenerateManifest; limits: ImageLimits };

/** A request that was read and found good. */
export type RunRequest = { request: GpuRequest; source: Frame };

/**
 * Reads the frames of a request's body.
 * @throws ApiError when they are none, or ask for what this worker cannot do
 */
export async function readRun(
  body: ReadableStream<Uint8Array> | null,
  { engine, manifest, limits }: RunContext,
): Promise<RunRequest> {
  if (body === null) throw new ApiError('invalid-request', 'The body is empty.');
  let frames: Frame[];
  try {
    frames = await Array.fromAsync(readFrames(body, limits.maxBytes + 2 ** 20));
  } catch (cause) {
    if (!(cause instanceof FrameError)) throw cause;
    throw new ApiError('invalid-request', `The body is not a list of frames: ${cause.message}.`, {
      cause,
    });
  }
  const [head, source, ...rest] = frames;
  if (head?.type !== 'request' || source === undefined || rest.length > 0) {
    throw new ApiError('invalid-request', 'A request is a request frame and one source frame.');
  }
  const parsed = GpuRequest.safeParse(decodeJson(head.payload));
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    const field = issue?.path.join('.') ?? '';
    throw new ApiError('invalid-request', `${field}: ${issue?.message}`, { field });
  }
  const request = parsed.data;
  if (request.revision !== manifest.revision) {
    throw new ApiError(
      'model-mismatch',
      `This worker serves revision ${manifest.revision}, not ${request.revision}.`,
    );
  }
  if (request.kind === 'generate') {
    checkPrompt(request, manifest);
    checkRows(request.generation, engine.slots);
  }
  return { request, source };
}

function checkPrompt(
  { input_ids, generation }: Extract<GpuRequest, { kind: 'generate' }>,
  { decoder, num_query_tokens }: GenerateManifest,
): void {
  const actual = num_query_tokens + input_ids.length + generation.max_tokens;
  if (actual > decoder.max_positions) {
    throw new ApiError(
      'prompt-too-long',
      'Image positions, prompt and answer exceed the context.',
      {
        limit: decoder.max_positions,
        actual,
      },
    );
  }
  if (input_ids.some((id) => id >= decoder.vocab)) {
    throw new ApiError('invalid-request', 'A token id is not in the vocabulary.', {
      field: 'input_ids',
    });
  }
}

function checkRows({ n, num_beams }: GenerationConfig, slots: number): void {
  if (Math.max(n, num_beams) <= slots) return;
  const field = num_beams > n ? 'num_beams' : 'n';
  throw new ApiError(
    'invalid-request',
    `${field}: this worker writes at most ${slots} texts at a time.`,
    {
      field,
    },
  );
}

/**
 * Frames of the reply, each as soon as it is known: `imageInfo` and `embeddings` for a picture, `tokens` for
 * each step, `done`.
 * @throws ApiError overloaded, or what the picture makes impossible
 */
export async function* run(
  { request, source }: RunRequest,
  { engine, manifest, limits }: RunContext,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array<ArrayBuffer>, void, undefined> {
  using _place = engine.admit();
  const decoding: Pick<GpuTimings, 'decode_image'> = {};
  let jobSource: JobSource;
  if (source.type === 'image') {
    const start = performance.now();
    const { info, pixels } = await openImage(source.payload, limits);
    const prepared = await preprocess(pixels, manifest.image);
    decoding.decode_image = performance.now() - start;
    yield encodeJsonFrame('imageInfo', info);
    const key = createHash('sha256').update(source.payload).digest('hex');
    jobSource = { kind: 'pixels', key, pixels: prepared };
  } else {
    if (request.kind === 'embed') throw new ApiError('no-image', 'To embed, a picture is needed.');
    jobSource = { kind: 'embeddings', values: embeddingsOf(source, manifest) };
  }
  const job: Job = { source: jobSource };
  if (request.kind === 'generate') {
    job.generate = { inputIds: request.input_ids, config: request.generation };
  }
  for await (const event of engine.run(job, signal)) {
    switch (event.type) {
      case 'embeddings':
        yield encodeFrame(
          'embeddings',
          encodeEmbeddings({ ...shapeOf(manifest), values: event.values }),
        );
        break;
      case 'tokens':
        yield encodeTokensFrame(event);
        break;
      case 'done': {
        const done: GpuDone = {
          choices: event.choices.map(({ finishReason, completionTokens, ...rest }) => ({
            finish_reason: finishReason,
            completion_tokens: completionTokens,
            ...rest,
          })),
          timings_ms: { ...event.timings, ...decoding },
        };
        yield encodeJsonFrame('done', done);
        break;
      }
      case 'failed':
        throw new Error(event.message);
    }
  }
}

function shapeOf(manifest: GenerateManifest) {
  return { numQueries: manifest.num_query_tokens, hidden: manifest.qformer_hidden };
}

function embeddingsOf({ type, payload }: Frame, manifest: GenerateManifest): Float32Array {
  if (type !== 'embeddings') {
    throw new ApiError('invalid-request', 'The second frame must be an image or embeddings.');
  }
  try {
    return decodeEmbeddings(payload, shapeOf(manifest)).values;
  } catch (cause) {
    if (!(cause instanceof EmbeddingCodecError)) throw cause;
    throw new ApiError('invalid-request', `The embeddings cannot be used: ${cause.message}.`, {
      cause,
    });
  }
}
