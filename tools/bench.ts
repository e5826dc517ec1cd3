/**
 * `npm run bench`: measures the embedded model on this machine; with `--peer`, side by side with `transformers`.
 *
 * Generation: images that no cache has (miss) and the same ones by hash (hit), directly at the GPU worker and through
 * the edge; both ways alternate, so that noise of the machine affects both. Streams: 1 to 16 captions at once at the GPU
 * worker. Look-ups: cached embeddings against a bare route of another Worker, alternating. Cached replies: on our own route and
 * in each dialect, alternating. Balancer: tokens directly and through HAProxy, alternating. Limits: cached replies where callers have limits and where they have none, alternating. workerd itself serves both
 * Workers, without a development server in between. Values are medians unless a row names another statistic.
 */
import { availableParallelism, cpus, totalmem } from 'node:os';
import { configure } from '@blip2/shared/config/configure';
import { markdownTable } from 'markdown-table';
import { balancerRows } from './bench/balancer.ts';
import { generationRows } from './bench/generation.ts';
import { limitRows } from './bench/limits.ts';
import { loadingRows } from './bench/loading.ts';
import { lookupRows } from './bench/lookups.ts';
import { memoryOf, memoryRows } from './bench/memory.ts';
import { Peer } from './bench/peer/peer.ts';
import { limitTable, peerRows, peerTable } from './bench/peer/tables.ts';
import { replayRows } from './bench/replays.ts';
import { STREAMS, streamRows } from './bench/streams.ts';
import { hasHaproxy } from './haproxy.ts';
import { BENCH } from './programs/speed.ts';
import { startOrExit } from './start-or-exit.ts';
import { statusLine } from './status-line.ts';

const {
  values: config,
  positionals: [part],
} = configure(BENCH);
const { rounds, checkpoint } = config;
const PARTS = ['edge', 'loading', 'balancer'];
if (part !== undefined && !PARTS.includes(part)) {
  console.error(`Unknown part "${part}": ${PARTS.join(', ')} are all. See --help.`);
  process.exit(1);
}
if (part === 'balancer' && !hasHaproxy()) {
  console.error('HAProxy is not installed: apt-get install haproxy.');
  process.exit(1);
}

const line = statusLine();
if (part === 'loading') {
  const onProgress = (what: string) => line.update(`Loading the model: ${what} …`);
  print([await loadingRows(config, { rounds, onProgress })]);
  process.exit(0);
}
const stack = await startOrExit(
  {
    model: config,
    ...(checkpoint === undefined ? {} : { checkpoint }),
    workerEnv: { BLIP2_MAX_SLOTS: String(Math.max(...STREAMS)) },
  },
  line,
);
try {
  const tables = config.peer ? await besidePeer() : await alone();
  print(tables);
} finally {
  await stack.stop();
}
process.exit(0);

function print(tables: string[][][]): void {
  line.clear();
  const cpu = cpus();
  console.log(
    `${cpu.length} × ${cpu[0]?.model}, ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.version}`,
  );
  for (const [head = [], ...rows] of tables) {
    const numeric = head.map((_, i) => (/^[\d.]+( .)?$/.test(rows[0]?.[i] ?? '') ? 'r' : 'l'));
    console.log(`\n${markdownTable([head, ...rows], { align: numeric })}`);
  }
}

async function alone(): Promise<string[][][]> {
  if (part === 'edge') return await edgeTables();
  if (part === 'balancer') {
    line.update('Measuring tokens through HAProxy …');
    return [await balancerRows(stack, rounds)];
  }
  line.update('Measuring generation …');
  const generation = await generationRows(stack, rounds);
  line.update('Measuring many streams …');
  const streams = await streamRows(stack, rounds);
  const tables = [generation, streams, await memoryRows(stack)];
  if (checkpoint !== undefined) return tables;
  return [...tables, ...(await edgeTables())];
}

async function edgeTables(): Promise<string[][][]> {
  line.update('Measuring look-ups …');
  const lookups = await lookupRows(stack);
  line.update('Measuring cached replies …');
  const replays = await replayRows(stack);
  line.update('Measuring limits …');
  return [lookups, replays, await limitRows(stack)];
}

async function besidePeer(): Promise<string[][][]> {
  line.update('Loading the peer …');
  const peer = await Peer.start(config.python, stack.checkpoint, availableParallelism());
  try {
    const onProgress = (what: string) => line.update(`Measuring side by side: ${what} …`);
    const rows = await peerRows(stack, { peer, rounds, onProgress });
    const { gigabytes } = await peer.ask('memory');
    const memory = { peer: gigabytes, ours: (await memoryOf(stack)).most };
    const limits = await limitTable(stack, rows, await peer.ask('limits'));
    return [peerTable(rows, memory), limits];
  } finally {
    peer.stop();
  }
}
