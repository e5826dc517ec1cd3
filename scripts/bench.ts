/**
 * `npm run bench`: figures of the embedded model on this machine, as tables.
 *
 * Generation: pictures that no cache has seen (miss), the same ones by hash (hit), straight at the GPU worker
 * and through the edge, the two ways in turns so that a noisy machine hits both. Streams: 1 to 16 captions at once at
 * the GPU worker. Look-ups: kept embeddings against a bare route of another Worker in the same kind of workerd, in
 * turns. Medians unless said.
 */
import { cpus, totalmem } from 'node:os';
import { parseArgs } from 'node:util';
import { markdownTable } from 'markdown-table';
import { generationRows } from './bench/generation.ts';
import { lookupRows } from './bench/lookups.ts';
import { memoryRows } from './bench/memory.ts';
import { STREAMS, streamRows } from './bench/streams.ts';
import { startStack } from './stack.ts';
import { statusLine } from './status-line.ts';

const HELP = `Usage: npm run bench [-- --rounds 20 --checkpoint FOLDER]

Measures first token, time a token, the edge's share, and embedding look-ups on the embedded model.

  --rounds N            pictures per row (20)
  --checkpoint FOLDER   another model than the embedded one; BLIP2_PRECISION says in how many bits
`;

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '20' },
    checkpoint: { type: 'string' },
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
  line.update('Measuring generation …');
  const generation = await generationRows(stack, rounds);
  line.update('Measuring many streams …');
  const streams = await streamRows(stack, rounds);
  line.update('Measuring look-ups …');
  const lookups = values.checkpoint === undefined ? await lookupRows(stack) : [];
  const memory = await memoryRows(stack);
  line.clear();
  const cpu = cpus();
  console.log(
    `${cpu.length} × ${cpu[0]?.model}, ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.version}\n`,
  );
  console.log(`${markdownTable(generation, { align: ['l', 'r', 'r', 'r'] })}\n`);
  console.log(`${markdownTable(streams, { align: ['r', 'r', 'r', 'r'] })}\n`);
  console.log(`${markdownTable(memory, { align: ['r', 'r', 'r'] })}\n`);
  if (lookups.length > 0) console.log(markdownTable(lookups, { align: ['l', 'r', 'r'] }));
} finally {
  await stack.stop();
}
process.exit(0);
