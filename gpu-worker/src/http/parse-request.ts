/** Parses the frames of a request, and checks all that can be known before work is spent on it. */
import type {
  BundleManifest,
  GenerativeManifest,
  RetrievalManifest,
} from '@blip2/shared/bundle-manifest';
import {
  decodeEmbeddings,
  EmbeddingCodecError,
  maxEncodedBytes,
} from '@blip2/shared/embedding-codec';
import { ApiError } from '@blip2/shared/errors';
import { decodeJson, FrameError, type FrameHead } from '@blip2/shared/frames';
import { expectImageBytes } from '@blip2/shared/image-format';
import { route } from '@blip2/shared/route';
import { type GenerationConfig, GpuRequest } from '@blip2/shared/wire';
import { checkTemplate, promptTemplate, textTemplate } from './check-template.ts';
import type { Dependencies, Models } from './dependencies.ts';
import { embeddingFormat } from './embedding-format.ts';

/** The image of a request, or its query embeddings. */
export type Source =
  | { kind: 'image'; bytes: Uint8Array }
  /** Float32 [queries, hidden]. */
  | { kind: 'embeddings'; values: Float32Array };

type Instructed = Extract<GpuRequest, { kind: 'generate' | 'embed' }>;
type Texts = Extract<GpuRequest, { texts: unknown }>['texts'];

/** @throws ApiError when a body begins with anything but a request */
export function expectRequest(head: FrameHead | null): asserts head is FrameHead {
  if (head?.type !== 'request') throw invalid('The first frame must be a request.');
}

/**
 * The payload of the first frame.
 * @throws ApiError when it is no request, or asks for what this worker cannot do
 */
export function parseRequest(
  payload: Uint8Array,
  dependencies: Pick<Dependencies, 'engine' | 'models'>,
): GpuRequest {
  const request = validated(jsonOf(payload));
  checkRequest(request, dependencies);
  return request;
}

/** @throws ApiError when a request asks for what this worker cannot do */
export function checkRequest(
  request: GpuRequest,
  { engine, models }: Pick<Dependencies, 'engine' | 'models'>,
): void {
  const manifest = models[route(request)];
  if (manifest === undefined) {
    throw new ApiError('no-retrieval-model', 'This worker serves no retrieval model.');
  }
  checkRevision(request, manifest);
  if (request.kind === 'generate') {
    checkPrompt(request, models.generate);
    checkSequences(request.generation, engine.slots);
    engine.kvBudget?.expect(request.generation, request.input_ids.length);
  }
  if ('texts' in request && models.retrieve) checkTexts(request.texts, models.retrieve);
  if ('instruction_ids' in request) checkInstruction(request, manifest);
}

/**
 * Checks the head of the frame after the request, before its payload is read: an image, or embeddings to generate from;
 * none for texts alone.
 * @throws ApiError when it is not what the request needs, or is too large
 */
export function expectSource(
  request: GpuRequest,
  head: FrameHead | null,
  { models, limits }: Pick<Dependencies, 'models' | 'limits'>,
): void {
  if (request.kind === 'embed-texts') {
    if (head === null) return;
    throw invalid('embed-texts is a request frame and nothing else.');
  }
  if (head === null) throw invalid(`${request.kind} is a request frame and a source frame.`);
  if (head.type === 'image') {
    expectInstruction(request, models);
    expectImageBytes(head.length, { ...limits, field: 'image' });
    return;
  }
  if (request.kind !== 'generate') {
    throw new ApiError('no-image', `To ${request.kind}, an image is needed.`);
  }
  if (head.type !== 'embeddings') {
    throw invalid('The second frame must be an image or embeddings.');
  }
  if (head.length > maxEncodedBytes(embeddingFormat(request, models).shape)) {
    throw invalid('The embeddings cannot be used: there are more bytes than they have.');
  }
}

/**
 * The frame whose head was checked.
 * @throws ApiError when it holds no embeddings of the model
 */
export function parseSource(
  request: GpuRequest,
  { type }: FrameHead,
  payload: Uint8Array,
  models: Models,
): Source {
  if (type === 'image') return { kind: 'image', bytes: payload };
  return { kind: 'embeddings', values: embeddingsOf(request, payload, models) };
}

function invalid(detail: string, extras: { field?: string; cause?: unknown } = {}): ApiError {
  return new ApiError('invalid-request', detail, extras);
}

function jsonOf(payload: Uint8Array): unknown {
  try {
    return decodeJson(payload);
  } catch (cause) {
    if (!(cause instanceof FrameError)) throw cause;
    throw invalid('The request frame is not JSON in UTF-8.', { cause });
  }
}

function validated(value: unknown): GpuRequest {
  const parsed = GpuRequest.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  const field = issue?.path.join('.') ?? '';
  const message = issue?.message ?? 'not a request';
  throw field === '' ? invalid(message) : invalid(`${field}: ${message}`, { field });
}

function embeddingsOf(request: GpuRequest, payload: Uint8Array, models: Models): Float32Array {
  try {
    const { values } = decodeEmbeddings(payload, embeddingFormat(request, models).shape);
    if (values.every(Number.isFinite)) return values;
  } catch (cause) {
    if (!(cause instanceof EmbeddingCodecError)) throw cause;
    throw invalid(`The embeddings cannot be used: ${cause.message}.`, { cause });
  }
  throw invalid('The embeddings cannot be used: a value is not a finite number.');
}

function checkRevision({ revision, preprocessing }: GpuRequest, manifest: BundleManifest): void {
  if (revision !== manifest.revision) {
    const detail = `This worker serves revision ${manifest.revision}, not ${revision}.`;
    throw new ApiError('model-mismatch', detail);
  }
  // Edges of earlier versions say nothing of it.
  if (preprocessing === undefined || preprocessing === manifest.preprocessing) return;
  const detail = `This worker makes embeddings by ${manifest.preprocessing}, not by ${preprocessing}: BLIP2_PRECISION differs, or the version.`;
  throw new ApiError('model-mismatch', detail);
}

function checkPrompt(
  { input_ids, generation }: Extract<GpuRequest, { kind: 'generate' }>,
  manifest: GenerativeManifest,
): void {
  const { decoder, num_query_tokens } = manifest;
  const actual = num_query_tokens + input_ids.length + generation.max_tokens;
  const limit = decoder.max_positions;
  if (actual > limit) {
    const detail = 'Image positions, prompt and answer exceed the context.';
    throw new ApiError('prompt-too-long', detail, { limit, actual });
  }
  checkIds('input_ids', input_ids, decoder.vocab);
  checkTemplate('input_ids', input_ids, promptTemplate(manifest));
}

function checkSequences({ n, num_beams }: GenerationConfig, slots: number): void {
  if (Math.max(n, num_beams) <= slots) return;
  const field = num_beams > n ? 'num_beams' : 'n';
  throw invalid(`${field}: this worker generates at most ${slots} texts at a time.`, { field });
}

function checkTexts(texts: Texts, { text }: RetrievalManifest): void {
  const { max_positions: limit, vocab } = text;
  for (const [i, ids] of texts.entries()) {
    const field = `texts.${i}`;
    if (ids.length > limit) {
      const detail = 'A text exceeds the positions of the model.';
      throw new ApiError('prompt-too-long', detail, { limit, actual: ids.length, field });
    }
    checkIds(field, ids, vocab);
    checkTemplate(field, ids, textTemplate(text));
  }
}

function checkInstruction({ instruction_ids: ids }: Instructed, manifest: BundleManifest): void {
  if (ids === undefined) return;
  const field = 'instruction_ids';
  const instruction = manifest.kind === 'generate' ? manifest.instruction : undefined;
  if (instruction === undefined) throw invalid(`${field}: this model reads none.`, { field });
  const { max_positions: limit, vocab } = instruction;
  if (ids.length > limit) {
    const detail = 'The instruction exceeds the positions of the Q-Former.';
    throw new ApiError('prompt-too-long', detail, { limit, actual: ids.length, field });
  }
  checkIds(field, ids, vocab);
  checkTemplate(field, ids, textTemplate(instruction));
}

/** Of an image, a Q-Former that reads an instruction makes nothing without one. */
function expectInstruction(request: GpuRequest, { generate }: Models): void {
  const isInstructed = route(request) === 'generate' && generate.instruction !== undefined;
  if (!isInstructed || ('instruction_ids' in request && request.instruction_ids)) return;
  const field = 'instruction_ids';
  throw invalid(`${field}: this model reads an instruction with each image.`, { field });
}

function checkIds(field: string, ids: readonly number[], vocab: number): void {
  if (ids.every((id) => id < vocab)) return;
  throw invalid('A token id is not in the vocabulary.', { field });
}
