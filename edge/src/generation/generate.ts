/** From an image and a prompt to text, delta by delta: the core of every route that generates. */
import { ApiError } from '@blip2/shared/errors';
import { choicesOf, usageOf } from '@blip2/shared/generation/finished-texts';
import type { Prompt } from '@blip2/shared/generation/prompt';
import { type TextDelta, TextStreamer } from '@blip2/shared/generation/text-streamer';
import { warningsOf } from '@blip2/shared/generation/warnings';
import type { ImageId } from '@blip2/shared/image-id';
import type { Choice, Usage, Warning } from '@blip2/shared/schemas/generation';
import type { ImageReply, ReplyCacheResult } from '@blip2/shared/schemas/image';
import type { GpuDone, GpuTimings } from '@blip2/shared/wire';
import type { Dependencies } from '../dependencies.ts';
import { type LocatedImage, resolveEmbeddings } from '../embeddings/resolve-embeddings.ts';
import { instructing, runOnImage } from '../embeddings/run-on-image.ts';
import type { GpuReplyEvent } from '../gpu/client.ts';
import { hasBytes } from '../image/image-input.ts';
import type { RequestContext } from '../request-context.ts';
import type { CachedReply } from './reply-cache.ts';
import { eventsOf, type ReplyRecord, ReplyRecorder } from './reply-record.ts';

export type GenerateRequest = {
  image: LocatedImage;
  prompt: Prompt;
  /** Gets the reply once it is complete. */
  onWritten?: (record: ReplyRecord, written: WrittenBy) => void;
};

/** By which worker a reply was written, by its fingerprint, and when the image was sent, milliseconds since the epoch. */
export type WrittenBy = { worker: string | undefined; sentAt: number };

/** `image` comes first, then a `delta` for each part of a text, and `done` with the whole as the last. */
export type Delta =
  | { type: 'image'; image: ImageReply; cache?: ReplyCacheResult }
  | ({ type: 'delta'; choice: number } & TextDelta)
  /** `sentAt`: when the image that the text was made of was sent, milliseconds since the epoch. */
  | { type: 'done'; generation: Generation; sentAt: number };

/** The whole of a generation. */
export type Generation = Choice & {
  /** All texts, where there are several; the first of them is the generation's own. */
  choices?: Choice[];
  image: ImageReply;
  /** Name of the model. */
  model: string;
  /** As far as it is shown, as is what the worker took for each part. */
  cache?: ReplyCacheResult;
  usage: Usage;
  /** Why not to rely on the text. */
  warnings?: Warning[];
  timings_ms: GpuTimings;
};

/**
 * Leaving the loop early, or aborting the context's signal, ends the generation at the GPU worker.
 * @throws ApiError of the GPU worker, or `unknown-image`
 * @example
 * const prompt = preparePrompt(deps, { text: 'Question: what color is it? Answer:' }, { max_tokens: 20 });
 * const { instructionIds } = prompt;
 * const image = await locateEmbeddings(deps.stores.query, { id, bytes, instructionIds }, context);
 * for await (const delta of generate(deps, { image, prompt }, context)) {
 *   if (delta.type === 'delta') process.stdout.write(delta.text);
 * }
 */
export async function* generate(
  deps: Pick<Dependencies, 'config' | 'gpu' | 'models' | 'stores'>,
  { image, prompt, onWritten }: GenerateRequest,
  context: RequestContext,
): AsyncGenerator<Delta, void, undefined> {
  const resolved = await resolveEmbeddings(deps.stores.query, image, context);
  const { id, embeddingId, instructionIds } = image;
  const { cache } = resolved;
  // What is made of cached embeddings is as old as they are, unless the image itself was sent again.
  const { sentAt } =
    resolved.kind === 'cached' && !hasBytes(image) ? resolved.entry : { sentAt: context.startedAt };
  const task = {
    kind: 'generate',
    input_ids: prompt.inputIds,
    ...instructing(instructionIds),
    generation: prompt.generation,
  } as const;
  const recorder = onWritten && new ReplyRecorder();
  let worker: string | undefined;
  const onBegun = (fingerprint: string | undefined) => {
    worker = fingerprint;
  };
  const running = { gpu: deps.gpu, onBegun };
  const events = runOnImage(running, deps.stores.query, embeddingId, resolved, task, context);
  for await (const delta of write(deps, events, { id, prompt, cache, sentAt, recorder })) {
    const record = delta.type === 'done' ? recorder?.record() : undefined;
    if (record) onWritten?.(record, { worker, sentAt });
    yield delta;
  }
}

/**
 * The same deltas as at first, of a reply that was written before.
 * @param id of its image
 */
export function replay(
  deps: Pick<Dependencies, 'config' | 'models'>,
  { id, prompt, reply }: { id: ImageId; prompt: Prompt; reply: CachedReply },
): AsyncGenerator<Delta, void, undefined> {
  const { record, sentAt } = reply;
  return write(deps, eventsOf(record), { id, prompt, cache: 'reply', sentAt });
}

type Written = {
  id: ImageId;
  prompt: Prompt;
  cache: ReplyCacheResult;
  sentAt: number;
  recorder?: ReplyRecorder | undefined;
};

/** From the worker's events to text. */
async function* write(
  deps: Pick<Dependencies, 'config' | 'models'>,
  events: AsyncIterable<GpuReplyEvent> | Iterable<GpuReplyEvent>,
  { id, prompt, cache, sentAt, recorder }: Written,
): AsyncGenerator<Delta, void, undefined> {
  const { inputIds, generation, stopSequences } = prompt;
  const model = deps.models.generate;
  const tokenizer = model.tokenizer();
  const texts = Array.from({ length: generation.n }, () => {
    return new TextStreamer(tokenizer, stopSequences);
  });
  const { showCache } = deps.config;
  const shown = showCache ? { cache } : {};
  let info: ImageReply | undefined;
  let done: GpuDone | undefined;
  for await (const event of events) {
    recorder?.add(event);
    if (event.type === 'imageInfo') {
      info = { sha256: id, ...event.image };
      yield { type: 'image', image: info, ...shown };
    } else if (event.type === 'tokens') {
      const { choice } = event;
      const streamer = texts[choice];
      if (streamer === undefined) throw incomplete();
      for (const token of event.tokens) {
        const delta = streamer.put(token);
        if (delta !== null) yield { type: 'delta', choice, ...delta };
      }
      // A beam search has ended when its tokens come; its scores follow.
      if (generation.num_beams === 1 && texts.every(({ isStopped }) => isStopped)) break;
    } else if (event.type === 'done') {
      done = event;
      for (const [choice, streamer] of texts.entries()) {
        const delta = streamer.end();
        if (delta !== null) yield { type: 'delta', choice, ...delta };
      }
    }
  }
  if (info === undefined) throw incomplete();
  yield {
    type: 'done',
    sentAt,
    generation: {
      ...choicesOf(texts, done),
      image: info,
      model: model.name,
      ...shown,
      usage: usageOf(model.num_query_tokens + inputIds.length, texts),
      ...warningsOf(info, model),
      timings_ms: (showCache ? done?.timings_ms : undefined) ?? {},
    },
  };
}

function incomplete(): ApiError {
  return new ApiError('bad-gateway', 'The GPU worker sent an incomplete reply.');
}
