/**
 * `npm run bench`: figures of the embedded model on this machine, as tables; with `--peer` those beside `transformers`.
 *
 * Generation: images that no cache has seen (miss), the same ones by hash (hit), straight at the GPU worker
 * and through the edge, the two ways in turns so that a noisy machine hits both. Streams: 1 to 16 captions at once at
 * the GPU worker. Look-ups: kept embeddings against a bare route of another Worker, in turns. Both Workers are served
 * from workerd itself, as Cloudflare would get them: nothing of a development server is on the way. Medians unless said.
 */
import { availableParallelism, cpus, totalmem } from 'node:os';
import { parseArgs } from 'node:util';
import { markdownTable } from 'markdown-table';
import { generationRows } from './bench/generation.ts';
import { lookupRows } from './bench/lookups.ts';
import { memoryOf, memoryRows } from './bench/memory.ts';
import { Peer } from './bench/peer/peer.ts';
import { limitTable, peerRows, peerTable } from './bench/peer/rows.ts';
import { STREAMS, streamRows } from './bench/streams.ts';
import { startStack } from './local-stack.ts';
import { statusLine } from './status-line.ts';

const HELP = `Usage: npm run bench [-- --rounds 20 --checkpoint FOLDER --peer]

Measures first token, time a token, the edge's share, and embedding look-ups on the embedded model.

  --rounds N            images per row (20)
  --checkpoint FOLDER   another model than the embedded one; BLIP2_PRECISION says in how many bits
  --peer                side by side with transformers in bf16 instead, as many threads for each;
                        PYTHON names an interpreter that has what training/pyproject.toml lists (python3)
`;

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '20' },
    checkpoint: { type: 'string' },
    peer: { type: 'boolean' },
    help: { type: 'boolean', short: 'h' },
  },
});
if (values.help) {
  console.log(HELP);
  process.exit(0);
}
const rounds = Number(values.rounds);

const line = statusLine();
const stack = await startStack({
  onStatus: line.update,
  ...(values.checkpoint === undefined ? {} : { checkpoint: values.checkpoint }),
  workerEnv: { BLIP2_MAX_SLOTS: String(Math.max(...STREAMS)) },
});
try {
  const tables = values.peer ? await besidePeer() : await alone();
  line.clear();
  const cpu = cpus();
  console.log(
    `${cpu.length} × ${cpu[0]?.model}, ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.version}`,
  );
  for (const [head = [], ...rows] of tables) {
    const numeric = head.map((_, i) => (/^[\d.]+( .)?$/.test(rows[0]?.[i] ?? '') ? 'r' : 'l'));
    console.log(`\n${markdownTable([head, ...rows], { align: numeric })}`);
  }
} finally {
  await stack.stop();
}
process.exit(0);

async function alone(): Promise<string[][][]> {
  line.update('Measuring generation …');
  const generation = await generationRows(stack, rounds);
  line.update('Measuring many streams …');
  const streams = await streamRows(stack, rounds);
  const tables = [generation, streams, await memoryRows(stack)];
  if (values.checkpoint !== undefined) return tables;
  line.update('Measuring look-ups …');
  return [...tables, await lookupRows(stack)];
}

async function besidePeer(): Promise<string[][][]> {
  line.update('Loading the peer …');
  const python = process.env.PYTHON ?? 'python3';
  const peer = await Peer.start(python, stack.checkpoint, availableParallelism());
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
