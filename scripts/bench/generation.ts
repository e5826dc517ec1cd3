/** First token, each further one and the edge's share: direct at the GPU worker and through the edge. */
import { createHash } from 'node:crypto';
import { postStream } from '../api.ts';
import type { Stack } from '../stack.ts';
import { type Arrivals, captionRequest, freshPictures, runDirect } from './requests.ts';
import { median, quantile } from './statistics.ts';

/** Long enough that what arrives together does not blur the rate. */
const TOKENS = 48;

export async function generationRows(stack: Stack, rounds: number): Promise<string[][]> {
  const pictures = await freshPictures(rounds * 2);
  const direct: Record<'miss' | 'hit', Arrivals[]> = { miss: [], hit: [] };
  const edge: Record<'miss' | 'hit', Arrivals[]> = { miss: [], hit: [] };
  const request = captionRequest(stack.model, { max_tokens: TOKENS, min_tokens: TOKENS });
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
  const perToken = (all: Arrivals[]) =>
    median(all.map((arrivals) => (arrivals.at(-1)! - arrivals[0]!) / (arrivals.length - 1)));
  const lastToken = (all: Arrivals[]) => median(all.map((arrivals) => arrivals.at(-1)!));
  return [
    ['one stream', 'GPU worker', 'through the edge', 'the edge adds'],
    row('first token, miss (ms)', firstToken, 'miss'),
    row('first token, hit (ms)', firstToken, 'hit'),
    row(`token ${TOKENS}, hit (ms)`, lastToken, 'hit'),
    row('each token after the first (ms)', perToken, 'hit'),
    row('between tokens, p99 (ms)', (all) => quantile(gaps(all), 0.99), 'hit'),
  ];
}

async function runEdge(
  stack: Stack,
  image: { data: string } | { sha256: string },
): Promise<Arrivals> {
  const arrivals: Arrivals = [];
  const body = { image, max_tokens: TOKENS, min_tokens: TOKENS };
  for await (const { event, data, atMs } of postStream(`${stack.url}/v1/captions`, body)) {
    if (event === 'error') throw new Error(JSON.stringify(data));
    if (event === 'token') arrivals.push(atMs);
  }
  return arrivals;
}
