/** Serves a request: decodes its image, runs its job, and yields the frames of the reply as they become known. */
import type { OutsideTraining } from '@blip2/shared/bundle-manifest';
import { ApiError } from '@blip2/shared/errors';
import { encodeEvent } from '@blip2/shared/gpu-events';
import { imageIdOf } from '@blip2/shared/image-id';
import { isOutsideTraining } from '@blip2/shared/outside-training';
import { route } from '@blip2/shared/route';
import type { GpuRequest, GpuTimings, ImageInfo } from '@blip2/shared/wire';
import { keyPrefixOf } from '../engine/dropped-images.ts';
import type { Caller, Job, Pixels } from '../engine/protocol.ts';
import type { RequestTrace } from '../engine/request-trace.ts';
import type { Dependencies } from './dependencies.ts';
import { embeddingFormat } from './embedding-format.ts';
import type { Source } from './parse-request.ts';
import { toGpuEvent } from './to-gpu-event.ts';

/** A valid request. `source` is absent where only texts are embedded. */
export type ReceivedRequest = { request: GpuRequest; source?: Source };

/** What belongs to one request, apart from its frames. */
export type RequestContext = {
  /** Names the request in logs, here and at the edge. */
  requestId: string;
  trace: RequestTrace;
  /** Milliseconds of this process's clock. */
  arrivedAt: number;
  /** Aborts at the deadline, when the client goes away, and when the engine has crashed. */
  signal: AbortSignal;
  /** Called once nothing holds the bytes of the source any more. */
  onSourceRead: () => void;
  /** Called with the first token of a reply that comes token by token. */
  onFirstToken?: () => void;
  /** Called with each sign that work on it, which nobody waits for, has begun in the engine and goes on. */
  onAdvanced?: () => void;
};

type Embeddings = Extract<Source, { kind: 'embeddings' }>;
type Bytes = Uint8Array<ArrayBuffer>;

/**
 * Frames of the reply: `imageInfo` and `embeddings` for an image, then tokens, scores or texts, and `done`. Where the
 * model can tell images outside of its training, `imageInfo` waits for the embeddings and says so.
 * @param received loses its source, so that a large image does not stay as long as the text about it takes
 * @throws ApiError a problem with the image
 */
export async function* handleRequest(
  received: ReceivedRequest,
  dependencies: Pick<Dependencies, 'engine' | 'models' | 'decoder'>,
  context: RequestContext,
): AsyncGenerator<Bytes, void, undefined> {
  const { requestId, trace, arrivedAt, signal, onSourceRead, onFirstToken, onAdvanced } = context;
  const { engine, models } = dependencies;
  const { request } = received;
  const caller = callerOf(request);
  const timings: Pick<GpuTimings, 'decode_image'> = {};
  let input: Pixels | Embeddings | undefined;
  let image: string | undefined;
  let decoded: ImageInfo | undefined;
  if (received.source?.kind === 'image') {
    const startedAt = performance.now();
    engine.expect(caller);
    const { bytes } = received.source;
    // Hashed here: with a key from outside, a client could name somebody else's image.
    image = imageIn(request.namespace, await imageIdOf(bytes));
    const options = { image, caller, signal };
    const decoding = decodeImage(bytes, request, dependencies, options);
    const { info, pixels } = await decoding.finally(() => {
      const endedAt = performance.now();
      timings.decode_image = endedAt - startedAt;
      trace.step('decode_image', startedAt, endedAt);
    });
    delete received.source;
    onSourceRead();
    decoded = info;
    input = pixels;
  } else {
    input = received.source;
    // Of embeddings the edge says whose they are: that decides with what they are dropped, not what is found for them.
    image = imageIn(request.namespace, 'image_id' in request ? (request.image_id ?? '') : '');
    onSourceRead();
  }
  const job = jobOf(request, input);
  const format = embeddingFormat(request, models);
  const origin = { image, arrivedAt };
  const classifier = classifierFor(request, models);
  if (decoded !== undefined && classifier === undefined) {
    yield encodeEvent({ type: 'imageInfo', image: decoded });
    decoded = undefined;
  }
  let hasToken = false;
  const submitted = { signal, trace, caller, requestId, origin, onAdvanced };
  for await (const event of engine.run(job, submitted)) {
    if (event.type === 'tokens' && !hasToken) {
      hasToken = true;
      onFirstToken?.();
    }
    // What the image is like is known with its embeddings: it is cached with them, and with the reply.
    if (decoded !== undefined) {
      const isOutside =
        classifier !== undefined &&
        event.type === 'embeddings' &&
        isOutsideTraining(classifier, event.values);
      const info = isOutside ? { ...decoded, outside_training: true as const } : decoded;
      yield encodeEvent({ type: 'imageInfo', image: info });
      decoded = undefined;
    }
    yield encodeEvent(toGpuEvent(event, format, timings));
  }
}

/** What tells whether the image is unlike the training's, where the model has it and its query embeddings are computed. */
function classifierFor(
  request: GpuRequest,
  { generate }: Dependencies['models'],
): OutsideTraining | undefined {
  const isOfQueries =
    request.kind === 'generate' || (request.kind === 'embed' && request.embedding === 'query');
  return isOfQueries ? generate.outside_training : undefined;
}

export function callerOf({ client = '', priority = 'interactive' }: GpuRequest): Caller {
  return { client, priority };
}

/**
 * Names an image for the caches of the engine.
 * @param namespace 32 hexadecimal digits; the shared one where it is left out
 */
export function imageIn(namespace: string | undefined, imageId: string): string {
  return `${namespace ?? 'shared'}/${imageId}`;
}

/** The image as the model that serves the request wants it. */
async function decodeImage(
  bytes: Uint8Array,
  request: GpuRequest,
  { models, decoder }: Pick<Dependencies, 'models' | 'decoder'>,
  { image: named, ...options }: { image: string; caller: Caller; signal: AbortSignal },
): Promise<{ info: ImageInfo; pixels: Pixels }> {
  const { image, preprocessing } = models[route(request)] ?? models.generate;
  const { info, pixels } = await decoder.decode(bytes, image, options);
  const key = keyPrefixOf(named) + preprocessing;
  return { info, pixels: { kind: 'pixels', key, pixels } };
}

/** @param input the image's pixels or embeddings; undefined for texts alone */
function jobOf(request: GpuRequest, input: Pixels | Embeddings | undefined): Job {
  switch (request.kind) {
    case 'embed-texts':
      return { kind: 'embed-texts', texts: request.texts };
    case 'generate': {
      const { input_ids: inputIds, instruction_ids: instruction, generation: config } = request;
      return { kind: 'generate', source: present(input), inputIds, instruction, config };
    }
    case 'match':
      return { kind: 'match', source: pixelsOf(input), texts: request.texts };
    case 'embed': {
      const { embedding, instruction_ids: instruction } = request;
      return { kind: 'embed', source: pixelsOf(input), embedding, instruction };
    }
  }
}

function present<T>(input: T | undefined): T {
  if (input === undefined) throw new ApiError('no-image', 'An image is needed.');
  return input;
}

function pixelsOf(input: Pixels | Embeddings | undefined): Pixels {
  if (input?.kind === 'pixels') return input;
  throw new ApiError('no-image', 'An image is needed.');
}
