/** What `npm run simulate` prints, as tables of Markdown. */
import { markdownTable } from 'markdown-table';
import type { Latencies } from '../load/latencies.ts';
import type { ServiceTimes } from './service-times.ts';
import type { Outcome } from './simulation.ts';
import type { Figures, Validation } from './validate.ts';

const ROWS: readonly { name: string; key: keyof Figures; digits: number; isShare?: true }[] = [
  { name: 'replies a second', key: 'perSecond', digits: 2 },
  { name: 'first token, p50 (ms)', key: 'firstTokenP50', digits: 1 },
  { name: 'first token, p95 (ms)', key: 'firstTokenP95', digits: 1 },
  { name: 'reply, p50 (ms)', key: 'replyP50', digits: 1 },
  { name: 'reply, p95 (ms)', key: 'replyP95', digits: 1 },
  { name: 'images not encoded (%)', key: 'hitRatio', digits: 1, isShare: true },
  { name: 'prefixes cached (%)', key: 'prefixRatio', digits: 1, isShare: true },
  { name: 'failed', key: 'failed', digits: 0 },
];

/** How far a simulated figure is from a measured one, as a share of the latter. */
function deviation({ measured, simulated }: { measured: number; simulated: number }): number {
  return measured === simulated ? 0 : simulated / measured - 1;
}

export function describeValidations(validations: readonly Validation[]): string {
  const rows = ROWS.map(({ name, key, digits, isShare }) => [
    name,
    ...validations.flatMap(({ measured, simulated }) => {
      const write = (value: number) => (isShare ? 100 * value : value).toFixed(digits);
      const share = deviation({ measured: measured[key], simulated: simulated[key] });
      return [write(measured[key]), write(simulated[key]), `${signed(100 * share)} %`];
    }),
  ]);
  const head = validations.flatMap(({ workers }) => [
    `${workers} ${workers === 1 ? 'worker' : 'workers'}, measured`,
    'simulated',
    '',
  ]);
  return table(['', ...head], rows);
}

export function describeOutcome(outcome: Outcome, { source, machine }: ServiceTimes): string {
  const { arrivals, replies, refused, lost, inSystem, encodes, prefixes } = outcome;
  const share = (part: number, whole: number) =>
    whole === 0 ? '' : `${((100 * part) / whole).toFixed(1)} %`;
  const latencies = (name: string, of: Latencies) => [
    name,
    ...[50, 95, 99].map((percent) => of.at(percent)?.toFixed(1) ?? ''),
  ];
  return [
    `Service times: ${machine} (${source})`,
    table(
      ['ms', 'p50', 'p95', 'p99'],
      [latencies('first token', outcome.firstToken), latencies('reply', outcome.reply)],
    ),
    `${arrivals} requests: ${replies} replies, ${refused} refused, ${lost} lost with their worker, ${inSystem} under way at the end.`,
    `No image was encoded for ${share(arrivals - encodes, arrivals)}; workers had the image positions of ${share(prefixes.hits, prefixes.hits + prefixes.misses)} of the prompts. ${(outcome.workerMs / 3_600_000).toFixed(2)} hours of workers.`,
  ].join('\n\n');
}

export function table(head: string[], rows: string[][]): string {
  return markdownTable([head, ...rows], { align: head.map((_, i) => (i === 0 ? 'l' : 'r')) });
}

function signed(value: number): string {
  return `${value < 0 ? '−' : '+'}${Math.abs(value).toFixed(1)}`;
}
