/** First token, tokens a second and the edge's share: direct at the GPU worker and through the edge. */
import { createHash } from 'node:crypto';
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
import { postStream } from '../api.ts';
import { prepareEdge } from '../prepare-edge.ts';
import { readPicture, readScenes } from '../scenes.ts';
import type { Stack } from '../stack.ts';
import { median, quantile } from './statistics.ts';

/** Milliseconds since the request was sent at which each token came. */
type Arrivals = number[];

const MAX_TOKENS = 24;

export async function generationRows(stack: Stack, rounds: number): Promise<string[][]> {
  const { model } = await prepareEdge();
  const pictures = await freshPictures(rounds * 2);
  const direct: Record<'miss' | 'hit', Arrivals[]> = { miss: [], hit: [] };
  const edge: Record<'miss' | 'hit', Arrivals[]> = { miss: [], hit: [] };
  const request: GpuRequest = {
    kind: 'generate',
    request_id: 'bench',
    revision: model.revision,
    deadline_ms: 30_000,
    input_ids: promptIds(model, []),
    generation: GenerationConfig.parse({ max_tokens: MAX_TOKENS }),
  };
  for (let round = 0; round < rounds; round++) {
    const [first, second] = [pictures[2 * round]!, pictures[2 * round + 1]!];
    const { arrivals, embeddings } = await runDirect(stack, request, {
      type: 'image',
      payload: first,
    });
    direct.miss.push(arrivals);
    edge.miss.push(await runEdge(stack, { data: Buffer.from(second).toString('base64') }));
    const payload = embeddings ?? new Uint8Array();
    direct.hit.push((await runDirect(stack, request, { type: 'embeddings', payload })).arrivals);
    const sha256 = createHash('sha256').update(second).digest('hex');
    edge.hit.push(await runEdge(stack, { sha256 }));
  }
  const row = (name: string, measure: (arrivals: Arrivals[]) => number, kind: 'miss' | 'hit') => {
    const [without, through] = [measure(direct[kind]), measure(edge[kind])];
    return [name, without.toFixed(2), through.toFixed(2), (through - without).toFixed(2)];
  };
  const firstToken = (all: Arrivals[]) => median(all.map((arrivals) => arrivals[0] ?? Number.NaN));
  const gaps = (all: Arrivals[]) =>
    all.flatMap((arrivals) => arrivals.slice(1).map((at, i) => at - (arrivals[i] ?? 0)));
  const rate = (all: Arrivals[]) =>
    median(
      all.map((arrivals) => (1000 * (arrivals.length - 1)) / (arrivals.at(-1)! - arrivals[0]!)),
    );
  return [
    ['embedded model, one stream', 'GPU worker', 'through the edge', 'the edge adds'],
    row('first token, miss (ms)', firstToken, 'miss'),
    row('first token, hit (ms)', firstToken, 'hit'),
    row('between tokens, p50 (ms)', (all) => median(gaps(all)), 'hit'),
    row('between tokens, p99 (ms)', (all) => quantile(gaps(all), 0.99), 'hit'),
    row('tokens/s', rate, 'hit'),
  ];
}

async function runDirect(
  stack: Stack,
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

async function runEdge(
  stack: Stack,
  image: { data: string } | { sha256: string },
): Promise<Arrivals> {
  const arrivals: Arrivals = [];
  const body = { image, max_tokens: MAX_TOKENS };
  for await (const { event, data, atMs } of postStream(`${stack.url}/v1/captions`, body)) {
    if (event === 'error') throw new Error(JSON.stringify(data));
    if (event === 'token') arrivals.push(atMs);
  }
  return arrivals;
}

/** Test scenes as bytes that no cache has seen. */
async function freshPictures(count: number): Promise<Uint8Array<ArrayBuffer>[]> {
  const scenes = await readScenes();
  const mark = `${process.pid}-${Date.now()}`;
  return Promise.all(
    Array.from({ length: count }, async (_, i) => {
      const bytes = await readPicture(scenes[i % scenes.length]!);
      const image = sharp(bytes).withExif({ IFD0: { ImageDescription: `${mark}-${i}` } });
      return new Uint8Array(await image.png().toBuffer());
    }),
  );
}
