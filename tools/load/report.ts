/** What `npm run load` prints: the report as tables of Markdown. */
import { markdownTable } from 'markdown-table';
import type { Percentiles } from './latencies.ts';
import type { FairnessReport } from './measure-fairness.ts';
import type { MixReport } from './measure-mix.ts';
import type { TokensReport } from './measure-tokens.ts';
import type { Growth } from './memory.ts';
import { failed, type Outcome } from './tally.ts';

export type LoadReport = {
  machine: string;
  /** What was asked for, as it would be asked for again. */
  command: string;
  mix: MixReport;
  tokens: TokensReport;
  fairness: FairnessReport;
  /** Empty where the service is not ours to look into. */
  memory: Growth[];
};

const HEAD = ['p50', 'p90', 'p99', 'p99.9', 'max'];

export function describeReport(report: LoadReport): string {
  const { machine, command, mix, tokens, fairness, memory } = report;
  const sections = [
    `\`${command}\` (${machine})`,
    mixTable(mix),
    `${mix.sent} requests, ${mix.failed} failed; ${mix.offeredPerSecond.toFixed(1)} a second offered, ${mix.achievedPerSecond.toFixed(1)} answered.`,
    tokensTable(tokens),
    fairnessTable(fairness),
    ...(memory.length > 0 ? [memoryTable(memory)] : []),
    ...failuresIn(report).map((failure) => `Failed: ${failure}`),
  ];
  return sections.join('\n\n');
}

/**
 * What failed and should not have, by part and reason. Who asks for more than there is is refused, and asks again.
 * @example failuresIn(report) // ['the mix, caption: 2 × 503 worker-unavailable']
 */
export function failuresIn({
  mix,
  tokens,
  fairness,
}: Omit<LoadReport, 'command' | 'machine'>): string[] {
  const parts: [string, Pick<Outcome, 'failures'>][] = [
    ...mix.kinds.map((each): [string, Outcome] => [`the mix, ${each.kind}`, each]),
    ['streams', tokens.texts],
    ['new images beside streams', tokens.images],
    ['light caller, alone', fairness.alone],
    ['light caller, beside the greedy one', fairness.besideGreedy],
    ["light questions at the greedy one's address", refusedAside(fairness.asGreedy)],
    ['greedy', refusedAside(fairness.greedy)],
  ];
  return parts.flatMap(([part, { failures }]) =>
    Object.entries(failures).map(([reason, count]) => `${part}: ${count} × ${reason}`),
  );
}

/** The rule for one caller who has all places that one may have. */
const REFUSED = '429 too-many-requests';

function refusedAside({ failures }: Outcome): Pick<Outcome, 'failures'> {
  const { [REFUSED]: _refused, ...others } = failures;
  return { failures: others };
}

function mixTable({ all, lag, eventLoop, kinds }: MixReport): string {
  const rows = kinds.flatMap(({ kind, firstToken, reply, sent, ...rest }) => [
    ...(firstToken.count > 0 ? [[`${kind}, first token`, '', '', ...cells(firstToken)]] : []),
    [`${kind}, whole reply`, String(sent), String(failed(rest)), ...cells(reply)],
  ]);
  return table(
    ['ms from the time when due', 'sent', 'failed', ...HEAD],
    [
      ...rows,
      ['all, whole reply', '', '', ...cells(all)],
      ['sent late by the generator', '', '', ...cells(lag)],
      ["the generator's event loop, late", '', '', ...cells(eventLoop)],
    ],
  );
}

function tokensTable({
  alone,
  besideImages,
  streams,
  imagesPerSecond,
  images,
  texts,
}: TokensReport) {
  return table(
    [`ms between deltas, ${streams} streams`, 'gaps', 'failed', ...HEAD],
    [
      ['alone', String(alone.count), String(failed(texts)), ...cells(alone)],
      [
        `while ${imagesPerSecond} new images a second arrive`,
        String(besideImages.count),
        String(failed(images)),
        ...cells(besideImages),
      ],
    ],
  );
}

function fairnessTable({ alone, besideGreedy, asGreedy, greedy, rate }: FairnessReport): string {
  const row = (name: string, outcome: Outcome) => [
    name,
    String(outcome.sent),
    String(failed(outcome)),
    ...cells(outcome.reply),
  ];
  return table(
    [`ms, whole reply, ${rate} questions a second`, 'sent', 'failed', ...HEAD],
    [
      row('light caller, alone', alone),
      row('light caller, beside the greedy one', besideGreedy),
      row("light questions at the greedy one's address", asGreedy),
      row(`greedy: ${greedy.connections} connections, \`n: ${greedy.texts}\``, greedy),
    ],
  );
}

function memoryTable(memory: readonly Growth[]): string {
  return table(
    ['resident (MB)', 'first tenth', 'last tenth', 'most', 'MB an hour'],
    memory.map(({ process, start, end, most, slope }) => [
      process,
      start.toFixed(0),
      end.toFixed(0),
      most.toFixed(0),
      slope === null ? '' : `${slope.perHour.toFixed(0)} ± ${slope.plusMinus.toFixed(0)}`,
    ]),
  );
}

function cells({ p50, p90, p99, p999, max }: Percentiles): string[] {
  return [p50, p90, p99, p999, max].map((ms) => (ms === null ? '' : ms.toFixed(ms < 100 ? 1 : 0)));
}

function table(head: string[], rows: string[][]): string {
  return markdownTable([head, ...rows], { align: head.map((_, i) => (i === 0 ? 'l' : 'r')) });
}
