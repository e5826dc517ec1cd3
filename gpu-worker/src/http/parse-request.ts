/** Reads a request of the edge and checks everything that can be known before work is spent on it. */
import type {
  BundleManifest,
  GenerativeManifest,
  RetrievalManifest,
} from '@blip2/shared/bundle-manifest';
import { ApiError } from '@blip2/shared/errors';
import { decodeJson, type Frame, FrameError, readFrames } from '@blip2/shared/frames';
import { type ModelKind, route } from '@blip2/shared/route';
import { type GenerationConfig, GpuRequest } from '@blip2/shared/wire';
import type { EngineClient } from '../engine/client.ts';
import type { ImageLimits } from '../image/decode.ts';

export type Models = { generate: GenerativeManifest; retrieve?: RetrievalManifest };

export type RunContext = { engine: EngineClient; models: Models; limits: ImageLimits };

/** A request that was read and found good. `source` is absent where only texts are embedded. */
export type RunRequest = { request: GpuRequest; source?: Frame };

type Texts = Extract<GpuRequest, { texts: unknown }>['texts'];

/** Which of the two models does what a request asks for. */
export function modelKindOf(request: GpuRequest): ModelKind {
  return route(request);
}

/**
 * Reads the frames of a request's body.
 * @throws ApiError when they are none, or ask for what this worker cannot do
 */
export async function readRun(
  body: ReadableStream<Uint8Array> | null,
  { engine, models, limits }: RunContext,
): Promise<RunRequest> {
  if (body === null) throw new ApiError('invalid-request', 'The body is empty.');
  const [head, source, ...rest] = await readAll(body, limits.maxBytes + 2 ** 20);
  const request = parseRequest(head);
  const wantsSource = request.kind !== 'embed-texts';
  if ((source !== undefined) !== wantsSource || rest.length > 0) {
    throw new ApiError(
      'invalid-request',
      `${request.kind} is a request frame and ${wantsSource ? 'one source frame' : 'nothing else'}.`,
    );
  }
  const manifest = models[modelKindOf(request)];
  if (manifest === undefined) {
    throw new ApiError('no-retrieval-model', 'This worker serves no model that compares.');
  }
  checkRevision(request, manifest);
  if (request.kind === 'generate') {
    checkPrompt(request, models.generate);
    checkRows(request.generation, engine.slots);
  }
  if ('texts' in request && models.retrieve) checkTexts(request.texts, models.retrieve);
  return source === undefined ? { request } : { request, source };
}

async function readAll(body: ReadableStream<Uint8Array>, maxBytes: number): Promise<Frame[]> {
  try {
    return await Array.fromAsync(readFrames(body, maxBytes));
  } catch (cause) {
    if (!(cause instanceof FrameError)) throw cause;
    const detail = `The body is not a list of frames: ${cause.message}.`;
    throw new ApiError('invalid-request', detail, { cause });
  }
}

function parseRequest(head: Frame | undefined): GpuRequest {
  if (head?.type !== 'request') {
    throw new ApiError('invalid-request', 'The first frame must be a request.');
  }
  const parsed = GpuRequest.safeParse(decodeJson(head.payload));
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  const field = issue?.path.join('.') ?? '';
  throw new ApiError('invalid-request', `${field}: ${issue?.message}`, { field });
}

function checkRevision({ revision }: GpuRequest, manifest: BundleManifest): void {
  if (revision === manifest.revision) return;
  const detail = `This worker serves revision ${manifest.revision}, not ${revision}.`;
  throw new ApiError('model-mismatch', detail);
}

function checkPrompt(
  { input_ids, generation }: Extract<GpuRequest, { kind: 'generate' }>,
  { decoder, num_query_tokens }: GenerativeManifest,
): void {
  const actual = num_query_tokens + input_ids.length + generation.max_tokens;
  const limit = decoder.max_positions;
  if (actual > limit) {
    const detail = 'Image positions, prompt and answer exceed the context.';
    throw new ApiError('prompt-too-long', detail, { limit, actual });
  }
  checkIds('input_ids', input_ids, decoder.vocab);
}

function checkRows({ n, num_beams }: GenerationConfig, slots: number): void {
  if (Math.max(n, num_beams) <= slots) return;
  const field = num_beams > n ? 'num_beams' : 'n';
  const detail = `${field}: this worker writes at most ${slots} texts at a time.`;
  throw new ApiError('invalid-request', detail, { field });
}

function checkTexts(
  texts: Texts,
  { text: { max_positions: limit, vocab } }: RetrievalManifest,
): void {
  for (const [i, ids] of texts.entries()) {
    const field = `texts.${i}`;
    if (ids.length > limit) {
      const detail = 'A text exceeds the positions of the model.';
      throw new ApiError('prompt-too-long', detail, { limit, actual: ids.length, field });
    }
    checkIds(field, ids, vocab);
  }
}

function checkIds(field: string, ids: readonly number[], vocab: number): void {
  if (ids.every((id) => id < vocab)) return;
  throw new ApiError('invalid-request', 'A token id is not in the vocabulary.', { field });
}
