/** First token, each further one and the edge's share: direct at the GPU worker and through the edge. */
import { postJson, postStream } from '../api.ts';
import type { Stack } from '../local-stack.ts';
import { type Arrivals, captionRequest, embed, freshImages, runDirect } from './requests.ts';
import { median, quantile } from './statistics.ts';

/** Long enough that what arrives together does not blur the rate. */
const TOKENS = 48;

/** What is cached: nothing, the image's embeddings, or also its keys and values in the decoder. */
type Kind = 'miss' | 'hit' | 'again';
type ImageReference = { data: string } | { sha256: string };

export async function generationRows(stack: Stack, rounds: number): Promise<string[][]> {
  const images = (await freshImages(rounds * 4)).values();
  const direct: Record<Kind, Arrivals[]> = { miss: [], hit: [], again: [] };
  const edge: Record<Kind, Arrivals[]> = { miss: [], hit: [], again: [] };
  const request = captionRequest(stack.model, TOKENS);
  for (let round = 0; round < rounds; round++) {
    const next = () => images.next().value as Uint8Array;
    direct.miss.push(
      (await runDirect(stack, request, { type: 'image', payload: next() })).arrivals,
    );
    edge.miss.push(await runEdge(stack, { data: Buffer.from(next()).toString('base64') }));
    const { source } = await embed(stack, next());
    const known = await cacheAtEdge(stack, next());
    direct.hit.push((await runDirect(stack, request, source)).arrivals);
    edge.hit.push(await runEdge(stack, known));
    direct.again.push((await runDirect(stack, request, source)).arrivals);
    edge.again.push(await runEdge(stack, known));
  }
  const row = (name: string, measure: (arrivals: Arrivals[]) => number, kind: Kind) => {
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
    row('first token, same image again (ms)', firstToken, 'again'),
    row(`token ${TOKENS}, hit (ms)`, lastToken, 'hit'),
    row('each token after the first (ms)', perToken, 'hit'),
    row('between tokens, p99 (ms)', (all) => quantile(gaps(all), 0.99), 'hit'),
  ];
}

/** Makes the edge cache an image's embeddings. */
async function cacheAtEdge(stack: Stack, bytes: Uint8Array): Promise<ImageReference> {
  const data = Buffer.from(bytes).toString('base64');
  const reply = await postJson(`${stack.url}/v1/embeddings`, { image: { data } });
  const { sha256 } = (reply as { image: { sha256: string } }).image;
  return { sha256 };
}

async function runEdge(stack: Stack, image: ImageReference): Promise<Arrivals> {
  const arrivals: Arrivals = [];
  const body = { image, max_tokens: TOKENS, min_tokens: TOKENS };
  for await (const { event, data, atMs } of postStream(`${stack.url}/v1/captions`, body)) {
    if (event === 'error') throw new Error(JSON.stringify(data));
    if (event === 'token') arrivals.push(atMs);
  }
  return arrivals;
}
