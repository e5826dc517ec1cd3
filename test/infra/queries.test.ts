/** Alerts and dashboard ask for what there is: their queries parse, and name metrics and labels of the worker. */
import { createMetrics, createRegistry } from '@blip2/gpu-worker/metrics';
import { withDefaults } from '@blip2/shared/config/option';
import type { SyntaxNode } from '@lezer/common';
import { parser } from '@prometheus-io/lezer-promql';
import { describe, expect, it } from 'vitest';
import { DASHBOARD_QUERIES, dashboardJson } from '../../infra/src/grafana/dashboard.ts';
import { scalingOf } from '../../infra/src/kubernetes/scaling.ts';
import { ALERTS } from '../../infra/src/prometheus/alerts.ts';
import { SETTINGS } from '../../infra/src/settings.ts';

/** What Prometheus adds, and our scrape configuration. */
const ADDED = ['job', 'pool', 'instance', 'execution_provider'];
/** Of Prometheus itself, and of HAProxy, whose tests read it from the running program. */
const OTHERS: Record<string, string[]> = { up: [], haproxy_backend_active_servers: ['proxy'] };

/** Names in Prometheus' text format, and labels that each may have. */
async function servedMetrics(): Promise<Map<string, string[]>> {
  const engine = { admitted: 0, slots: 1, listen: () => {} };
  const decoder = { waiting: 0, memory: 0, listen: () => {} };
  const { registry } = createRegistry(engine, decoder);
  const { text: served } = await createMetrics(engine, decoder, 'cpu').scrape('');
  const known = new Map<string, string[]>(Object.entries(OTHERS));
  for (const [, name = '', type] of served.matchAll(/^# TYPE (\S+) (\S+)$/gm)) {
    const metric = registry.getSingleMetric(name) as unknown as
      | { labelNames: string[] }
      | undefined;
    const labels = metric?.labelNames ?? [];
    if (type === 'histogram') {
      known.set(`${name}_bucket`, [...labels, 'le']);
      for (const part of ['sum', 'count']) known.set(`${name}_${part}`, labels);
    } else {
      known.set(name, labels);
    }
  }
  return known;
}

type Selector = { metric: string; labels: string[] };

/** The metrics that a query selects, and the labels by which it does or groups. @throws Error where it does not parse */
function selectorsOf(query: string): { selectors: Selector[]; grouping: string[] } {
  const tree = parser.parse(query);
  const text = ({ from, to }: { from: number; to: number }) => query.slice(from, to);
  const selectors: Selector[] = [];
  const grouping: string[] = [];
  tree.iterate({
    enter: (reference) => {
      if (reference.type.isError) throw new Error(`${query} does not parse at ${reference.from}.`);
      const node: SyntaxNode = reference.node;
      if (reference.name === 'VectorSelector') {
        const metric = text(node.getChild('Identifier')!);
        const matchers = node.getChild('LabelMatchers')?.getChildren('UnquotedLabelMatcher') ?? [];
        selectors.push({ metric, labels: matchers.map((each) => text(each.firstChild!)) });
      }
      if (reference.name === 'GroupingLabels') {
        grouping.push(...node.getChildren('LabelName').map(text));
      }
    },
  });
  return { selectors, grouping };
}

const KEDA_QUERIES = scalingOf(withDefaults(SETTINGS)).flatMap(({ spec }) =>
  spec !== undefined && 'triggers' in spec
    ? spec.triggers.flatMap(({ metadata }) => metadata.query ?? [])
    : [],
);
const QUERIES = [
  ...new Set([...ALERTS.map(({ expr }) => expr), ...DASHBOARD_QUERIES, ...KEDA_QUERIES]),
];

describe('queries', async () => {
  const known = await servedMetrics();

  it.each(QUERIES)('%s', (query) => {
    const { selectors, grouping } = selectorsOf(query);
    expect(selectors.length).toBeGreaterThan(0);
    const allowed = selectors.flatMap(({ metric, labels }) => {
      expect([...known.keys()]).toContain(metric);
      const own = [...ADDED, ...known.get(metric)!];
      expect(own).toEqual(expect.arrayContaining(labels));
      return own;
    });
    expect(allowed).toEqual(expect.arrayContaining(grouping));
  });

  it('of KEDA are among them', () => {
    expect(KEDA_QUERIES).toHaveLength(1);
  });

  it.each(['sum by (instance (up)', 'rate(blip2_requests_total[5m]', 'up{job="a"'])(
    '%s is noticed',
    (query) => {
      expect(() => selectorsOf(query)).toThrow('does not parse');
    },
  );

  it('sees names and labels', () => {
    expect(selectorsOf('sum by (a, b) (rate(c_total{d="e",f=~"g"}[5m])) > on (x) h')).toMatchObject(
      {
        selectors: [
          { metric: 'c_total', labels: ['d', 'f'] },
          { metric: 'h', labels: [] },
        ],
        grouping: expect.arrayContaining(['a', 'b']),
      },
    );
  });
});

describe('the dashboard', () => {
  type Panel = {
    id: number;
    type: string;
    title: string;
    targets?: { expr: string }[];
    gridPos: { x: number; y: number; w: number; h: number };
  };
  const { panels } = JSON.parse(dashboardJson()) as { panels: Panel[] };

  it('has panels that lie beside each other', () => {
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
    const cells = panels.flatMap(({ gridPos: { x, y, w, h } }) =>
      Array.from(
        { length: w * h },
        (_, index) => `${x + (index % w)} ${y + Math.floor(index / w)}`,
      ),
    );
    expect(new Set(cells).size).toBe(cells.length);
    for (const { gridPos } of panels) expect(gridPos.x + gridPos.w).toBeLessThanOrEqual(24);
  });

  it('shows every metric that an alert is about, of the worker', () => {
    const shown = DASHBOARD_QUERIES.flatMap((query) => selectorsOf(query).selectors).map(base);
    const asked = ALERTS.flatMap(({ expr }) => selectorsOf(expr).selectors).map(base);
    expect(shown).toEqual(
      expect.arrayContaining(asked.filter((name) => name !== 'process_start_time_seconds')),
    );
  });
});

/** The name without what a histogram adds. */
const base = ({ metric }: Selector) => metric.replace(/_(bucket|sum|count)$/, '');
