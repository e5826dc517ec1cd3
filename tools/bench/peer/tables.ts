/**
 * Measures our GPU worker against `transformers`: same checkpoint, same ids, same threads, alternating.
 *
 * Ours is timed from the request to the token at its HTTP service, decoding of the image's file included; the peer
 * from a ready tensor of pixels, within its process. Tokens a second are counted while every stream generates.
 */
import { readGenerativeConfig, readGenerativeManifest } from '@blip2/gpu-worker/builder/index';
import { promptIds } from '@blip2/shared/prompts';
import type { Stack } from '../../local-stack.ts';
import {
  type Arrivals,
  type Embeddings,
  embed,
  freshImages,
  generateRequest,
  runDirect,
} from '../requests.ts';
import { median } from '../statistics.ts';
import { STREAMS } from '../streams.ts';
import type { Limits, Peer } from './peer.ts';

/** With the image positions 40 in all for the published checkpoints, as captions and short questions have. */
const TEXT_TOKENS = 8;
/** Each turn of a conversation adds so many: an answer, and another question. */
const TURN_TOKENS = 12;
const TURNS = 4;
const TOKENS = 24;
/** Fewer suffice for the peer: each of its steps computes every row of the batch. */
const PEER_TOKENS = 12;

type Sides = { peer: number[]; ours: number[] };
type Rows = Map<string, Sides>;

const NAMES = {
  encode: 'image encoder and Q-Former (ms)',
  miss: 'first token, miss (ms)',
  hit: 'first token, hit (ms)',
  again: 'first token, another question on the image (ms)',
  turn: `first token, question ${TURNS} of a conversation (ms)`,
  gap: 'each further token, one stream (ms)',
  streams: (count: number) => `tokens/s, ${count} ${count === 1 ? 'stream' : 'streams'}`,
  memory: 'resident at most (GB)',
};

/** All measurements, by row. */
export async function peerRows(
  stack: Stack,
  { peer, rounds, onProgress }: { peer: Peer; rounds: number; onProgress: (what: string) => void },
): Promise<Rows> {
  const rows: Rows = new Map();
  const add = (name: string, side: keyof Sides, value: number) => {
    const sides = rows.get(name) ?? { peer: [], ours: [] };
    sides[side].push(value);
    rows.set(name, sides);
  };
  const ids = someIds(stack, 300);
  const otherIds = someIds(stack, 400);
  const turns = Array.from({ length: TURNS }, (_, turn) =>
    someIds(stack, 500, TEXT_TOKENS + turn * TURN_TOKENS),
  );
  const most = Math.max(...STREAMS);
  const sources: Embeddings[] = [];
  for (const image of await freshImages(most)) {
    sources.push((await embed(stack, image)).source);
  }
  // The first run of each side prepares what later ones reuse.
  await peer.ask('generate', { ids, batch: 1, tokens: 2 });
  for (let round = 0; round < rounds; round++) {
    onProgress(`round ${round + 1} of ${rounds}, one stream`);
    const [encoded, fresh] = (await freshImages(2)) as [Uint8Array, Uint8Array];
    const run = (source: Parameters<typeof runDirect>[2], tokens: number, question = ids) =>
      runDirect(stack, generateRequest(stack.model, question, tokens), source);

    add(NAMES.encode, 'peer', (await peer.ask('encode')).ms);
    const { source, ms } = await embed(stack, encoded);
    add(NAMES.encode, 'ours', ms);

    const { arrivals } = await peer.ask('generate', { ids, batch: 1, tokens: PEER_TOKENS });
    const miss = (await run({ type: 'image', payload: fresh }, 1)).arrivals;
    const hit = (await run(source, 1)).arrivals;
    const again = (await run(source, TOKENS, otherIds)).arrivals;
    for (const name of [NAMES.miss, NAMES.hit, NAMES.again]) add(name, 'peer', arrivals[0]!);
    for (const [name, all] of [
      [NAMES.miss, miss],
      [NAMES.hit, hit],
      [NAMES.again, again],
    ] as const) {
      add(name, 'ours', all[0]!);
    }
    const last = await peer.ask('generate', { ids: turns.at(-1), batch: 1, tokens: 1 });
    add(NAMES.turn, 'peer', last.arrivals[0]!);
    const answered: number[] = [];
    for (const turn of turns) answered.push((await run(source, 1, turn)).arrivals[0]!);
    add(NAMES.turn, 'ours', answered.at(-1)!);
    add(NAMES.gap, 'peer', meanGap(arrivals));
    add(NAMES.gap, 'ours', meanGap(again));

    for (const count of STREAMS) {
      onProgress(`round ${round + 1} of ${rounds}, ${count} at once`);
      const batch = await peer.ask('generate', { ids, batch: count, tokens: PEER_TOKENS });
      add(NAMES.streams(count), 'peer', (1000 * count) / meanGap(batch.arrivals));
      const all = await Promise.all(sources.slice(0, count).map((each) => run(each, 2 * TOKENS)));
      add(NAMES.streams(count), 'ours', sharedRate(all.map((each) => each.arrivals)));
    }
  }
  return rows;
}

/** Medians: | row | peer | ours | ratio, above 1 where ours is ahead |; the last row is the memory of both. */
export function peerTable(rows: Rows, memory: { peer: number; ours: number }): string[][] {
  const line = (name: string, peer: number, ours: number, digits: number) => {
    const ratio = name.startsWith('tokens/s') ? ours / peer : peer / ours;
    return [name, peer.toFixed(digits), ours.toFixed(digits), `${ratio.toFixed(2)} ×`];
  };
  return [
    ['medians', '`transformers`, bf16', 'ours', 'ahead'],
    ...[...rows].map(([name, { peer, ours }]) => line(name, median(peer), median(ours), 1)),
    line(NAMES.memory, memory.peer, memory.ours, 2),
  ];
}

/** How close decoding comes to the machine's memory bandwidth, and the image encoder to its arithmetic. */
export async function limitTable(
  { bundle }: Stack,
  rows: Rows,
  limits: Limits,
): Promise<string[][]> {
  const manifest = await readGenerativeManifest(bundle);
  const ours = (name: string) => median(rows.get(name)?.ours ?? []) / 1000;
  const { vocab, hidden, max_positions } = manifest.decoder;
  // Where the head is quantized, the embedding is another matrix, in 16 bits.
  const lookedUp = hidden * (4 * max_positions + (manifest.precision === 'fp32' ? 0 : 2 * vocab));
  const file = manifest.files.find(({ path }) => path === 'decoder.bin');
  const read = ((file?.bytes ?? Number.NaN) - lookedUp) / 1e9;
  const { vision_config: vision } = await readGenerativeConfig(bundle);
  const [tokens, width] = [manifest.image_tokens, vision.hidden_size];
  const products = 2 * tokens * width * (4 * width + 2 * vision.intermediate_size);
  const scores = 4 * tokens ** 2 * width;
  const operations = (vision.num_hidden_layers * (products + scores)) / 1e12;
  const peak = manifest.precision === 'fp32' ? limits.fp32_teraops : limits.int8_teraops;
  const [bandwidth, arithmetic] = [read / ours(NAMES.gap), operations / ours(NAMES.encode)];
  const percent = (part: number, whole: number) => `${((100 * part) / whole).toFixed(0)} %`;
  const { gigabytes_per_second: memory } = limits;
  return [
    ['near the limit', 'at most', 'reached', ''],
    [
      'weights read for a token (GB/s)',
      memory.toFixed(1),
      bandwidth.toFixed(1),
      percent(bandwidth, memory),
    ],
    ['image encoder (teraop/s)', peak.toFixed(2), arithmetic.toFixed(2), percent(arithmetic, peak)],
  ];
}

/** A prompt of ordinary ids, in every vocabulary, that has only its control tokens in common with one of others. */
function someIds({ model }: Stack, first: number, count = TEXT_TOKENS): number[] {
  return promptIds(
    model,
    Array.from({ length: count - 1 }, (_, i) => first + i),
  );
}

function meanGap(arrivals: Arrivals): number {
  return (arrivals.at(-1)! - arrivals[0]!) / (arrivals.length - 1);
}

/** Tokens a second between the last stream's first token and the first stream's last. */
function sharedRate(all: readonly Arrivals[]): number {
  const from = Math.max(...all.map((arrivals) => arrivals[0]!));
  const to = Math.min(...all.map((arrivals) => arrivals.at(-1)!));
  const tokens = all.flat().filter((at) => at > from && at <= to).length;
  return (1000 * tokens) / (to - from);
}
