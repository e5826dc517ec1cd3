/** Requests directly at the GPU worker, and images and embeddings for them. */
import { randomBytes } from 'node:crypto';
import type { EdgeModel } from '@blip2/shared/edge-model';
import {
  decodeTokens,
  encodeFrame,
  encodeJsonFrame,
  FRAMES_MEDIA_TYPE,
  readFrames,
} from '@blip2/shared/frames';
import { promptIds } from '@blip2/shared/prompts';
import { GenerationConfig, type GpuRequest } from '@blip2/shared/wire';
import sharp from 'sharp';
import type { Stack } from '../local-stack.ts';
import { readImage, readScenes } from '../scenes.ts';

/** Milliseconds since the request was sent at which each token came. */
export type Arrivals = number[];

const head = (model: EdgeModel) =>
  ({ request_id: 'bench', revision: model.revision, deadline_ms: 600_000 }) as const;

/** A request that generates exactly so many tokens. */
export function generateRequest(model: EdgeModel, inputIds: number[], tokens: number): GpuRequest {
  const generation = GenerationConfig.parse({ max_tokens: tokens, min_tokens: tokens });
  return { kind: 'generate', ...head(model), input_ids: inputIds, generation };
}

export function captionRequest(model: EdgeModel, tokens: number): GpuRequest {
  return generateRequest(model, promptIds(model, []), tokens);
}

/** Encoded query embeddings, as an edge sends them after a hit. */
export type Embeddings = { type: 'embeddings'; payload: Uint8Array };

/** Query embeddings of an image, and the milliseconds until they came. */
export async function embed(
  stack: Stack,
  payload: Uint8Array,
): Promise<{ source: Embeddings; ms: number }> {
  const request: GpuRequest = { kind: 'embed', ...head(stack.model), embedding: 'query' };
  const start = performance.now();
  const { embeddings } = await runDirect(stack, request, { type: 'image', payload });
  const ms = performance.now() - start;
  if (embeddings === undefined) throw new Error('The GPU worker sent no embeddings.');
  return { source: { type: 'embeddings', payload: embeddings }, ms };
}

export async function runDirect(
  stack: Pick<Stack, 'workerUrl'>,
  request: GpuRequest,
  source: { type: 'image' | 'embeddings'; payload: Uint8Array },
): Promise<{ arrivals: Arrivals; embeddings?: Uint8Array }> {
  const start = performance.now();
  const response = await fetch(`${stack.workerUrl}/v1/run`, {
    method: 'POST',
    headers: { 'content-type': FRAMES_MEDIA_TYPE },
    body: new Blob([encodeJsonFrame('request', request), encodeFrame(source.type, source.payload)]),
  });
  if (!response.ok || response.body === null) throw new Error(await response.text());
  const arrivals: Arrivals = [];
  let embeddings: Uint8Array | undefined;
  for await (const { type, payload } of readFrames(response.body)) {
    if (type === 'error') throw new Error(new TextDecoder().decode(payload));
    if (type === 'embeddings') embeddings = payload.slice();
    if (type === 'tokens')
      for (const _ of decodeTokens(payload).tokens) arrivals.push(performance.now() - start);
  }
  return embeddings === undefined ? { arrivals } : { arrivals, embeddings };
}

/** Side of the noise that makes a test scene another image, pixels. */
const NOISE = 32;

/** Test scenes with noise in a corner: images that no cache has, by their bytes or by their embeddings. */
export async function freshImages(count: number): Promise<Uint8Array<ArrayBuffer>[]> {
  const scenes = await readScenes();
  return Promise.all(
    Array.from({ length: count }, async (_, i) => {
      const bytes = await readImage(scenes[i % scenes.length]!);
      const raw = { width: NOISE, height: NOISE, channels: 3 } as const;
      const noise = { input: randomBytes(3 * NOISE ** 2), raw, gravity: 'northwest' };
      return new Uint8Array(await sharp(bytes).composite([noise]).png().toBuffer());
    }),
  );
}
