/** What is seen of a deployment in Grafana: one row for people's waiting, one for the engine, one for the parts. */
import { ALERTS } from '../prometheus/alerts.ts';

type Query = { expr: string; legend: string };
type Panel = {
  title: string;
  description: string;
  /** A unit of Grafana. */
  unit: 's' | 'reqps' | 'short' | 'bytes' | 'percentunit';
  queries: readonly Query[];
  /** The alert whose threshold is drawn. */
  alert?: string;
};
type Row = { title: string; panels: readonly Panel[] };

/** Which workers are shown: a pool, or all. */
const POOL = 'job="blip2-worker",pool=~"$pool"';

const quantiles = (histogram: string): Query[] =>
  [0.5, 0.95, 0.99].map((quantile) => ({
    expr: `histogram_quantile(${quantile}, sum by (le) (rate(${histogram}_bucket{${POOL}}[$__rate_interval])))`,
    legend: `p${quantile * 100}`,
  }));
const rates = (counter: string, by: string): Query => ({
  expr: `sum by (${by}) (rate(${counter}{${POOL}}[$__rate_interval]))`,
  legend: by
    .split(', ')
    .map((label) => `{{${label}}}`)
    .join(' '),
});
const gauge = (name: string, by = 'instance'): Query => ({
  expr: `sum by (${by}) (${name}{${POOL}})`,
  legend: `{{${by}}}`,
});
const hitRatio = (counter: string, legend: string): Query => ({
  expr: `sum(rate(${counter}{${POOL},result="hit"}[$__rate_interval])) / sum(rate(${counter}{${POOL}}[$__rate_interval]))`,
  legend,
});

const ROWS: readonly Row[] = [
  {
    title: 'What people wait for',
    panels: [
      {
        title: 'Time to first token',
        description: 'From the submission of a request to the engine to its first token.',
        unit: 's',
        queries: quantiles('blip2_time_to_first_token_seconds'),
        alert: 'FirstTokenIsLate',
      },
      {
        title: 'Between two tokens',
        description: 'Between two times that a request gets tokens.',
        unit: 's',
        queries: quantiles('blip2_inter_token_latency_seconds'),
        alert: 'TokensAreSlow',
      },
      {
        title: 'Requests by outcome',
        description: 'Requests that ended: done, failed or canceled.',
        unit: 'reqps',
        queries: [rates('blip2_requests_total', 'kind, outcome')],
      },
      {
        title: 'Rejected requests',
        description: 'Those that found every queue full, or their share of it.',
        unit: 'reqps',
        queries: [
          {
            expr: `sum(rate(blip2_requests_rejected_total{${POOL}}[$__rate_interval]))`,
            legend: 'rejected',
          },
        ],
      },
    ],
  },
  {
    title: 'Engine',
    panels: [
      {
        title: 'Requests admitted',
        description: 'Requests that wait or run; interactive workers are scaled by it.',
        unit: 'short',
        queries: [gauge('blip2_num_requests_admitted')],
      },
      {
        title: 'Requests that wait',
        description: 'For work on their image, or for slots.',
        unit: 'short',
        queries: [gauge('blip2_num_requests_waiting', 'stage')],
      },
      {
        title: 'Slots in use',
        description: 'Above 1 while the reserve is used.',
        unit: 'percentunit',
        queries: [gauge('blip2_kv_cache_usage')],
      },
      {
        title: 'Tokens generated',
        description: 'Tokens a second.',
        unit: 'short',
        queries: [rates('blip2_generation_tokens_total', 'instance')],
      },
      {
        title: 'Time of the engine by action',
        description: 'Seconds of work in a second of time: 1 is all that a worker has.',
        unit: 's',
        queries: [rates('blip2_engine_action_seconds_sum', 'action')],
      },
      {
        title: 'Sequences that share a decode step',
        description: 'The mean of all decode steps.',
        unit: 'short',
        queries: [
          {
            expr: `sum(rate(blip2_decode_batch_size_sum{${POOL}}[$__rate_interval])) / sum(rate(blip2_decode_batch_size_count{${POOL}}[$__rate_interval]))`,
            legend: 'mean',
          },
        ],
      },
      {
        title: 'Cache hits',
        description: 'Of image features, and of the image positions of prompts.',
        unit: 'percentunit',
        queries: [
          hitRatio('blip2_image_feature_cache_lookups_total', 'image features'),
          hitRatio('blip2_prefix_cache_lookups_total', 'prompts'),
        ],
      },
      {
        title: 'Memory of caches',
        description: 'Keys and values of slots and of beginnings of prompts, and image features.',
        unit: 'bytes',
        queries: [
          { expr: `sum(blip2_kv_cache_bytes{${POOL}})`, legend: 'slots' },
          { expr: `sum(blip2_prefix_cache_bytes{${POOL}})`, legend: 'prompts' },
          { expr: `sum(blip2_image_feature_cache_bytes{${POOL}})`, legend: 'image features' },
        ],
      },
    ],
  },
  {
    title: 'Parts',
    panels: [
      {
        title: 'Workers that answer',
        description: 'By pool; that of jobs is empty while there are none.',
        unit: 'short',
        queries: [{ expr: `sum by (pool) (up{${POOL}})`, legend: '{{pool}}' }],
      },
      {
        title: 'Workers that HAProxy sends to',
        description: 'As each HAProxy sees it.',
        unit: 'short',
        queries: [
          {
            expr: 'haproxy_backend_active_servers{job="blip2-haproxy",proxy="workers"}',
            legend: '{{instance}}',
          },
        ],
      },
      {
        title: 'Images that wait to be decoded',
        description: 'For a process, or for memory.',
        unit: 'short',
        queries: [gauge('blip2_num_images_waiting')],
        alert: 'ImagesWait',
      },
      {
        title: 'Processes that decode, ended',
        description: 'Killed or crashed, by reason.',
        unit: 'short',
        queries: [
          {
            expr: `sum by (reason) (increase(blip2_decode_processes_ended_total{${POOL}}[$__rate_interval]))`,
            legend: '{{reason}}',
          },
        ],
      },
      {
        title: 'Memory of the process',
        description: 'Resident, with that of the engine; processes that decode have their own.',
        unit: 'bytes',
        queries: [gauge('process_resident_memory_bytes')],
      },
      {
        title: 'Delay of the event loop',
        description: 'p99: what every reply of that worker waits.',
        unit: 's',
        queries: [
          {
            expr: `max by (instance) (nodejs_eventloop_lag_p99_seconds{${POOL}})`,
            legend: '{{instance}}',
          },
        ],
      },
    ],
  },
];

/** Every query of the dashboard, as Grafana sends it for all pools and its usual interval. */
export const DASHBOARD_QUERIES: readonly string[] = ROWS.flatMap(({ panels }) =>
  panels.flatMap(({ queries }) =>
    queries.map(({ expr }) => expr.replaceAll('$__rate_interval', '1m').replaceAll('$pool', '.+')),
  ),
);

const DATASOURCE = { type: 'prometheus', uid: '$datasource' };
const COLUMNS = 24;
const PER_LINE = 4;
const HEIGHT = 7;

/** `infra/grafana/dashboard.json`, to be imported. */
export function dashboardJson(): string {
  let id = 0;
  let y = 0;
  const panels = ROWS.flatMap((row) => {
    const heading = {
      id: ++id,
      type: 'row',
      title: row.title,
      collapsed: false,
      gridPos: { x: 0, y, w: COLUMNS, h: 1 },
      panels: [],
    };
    y += 1;
    const width = COLUMNS / PER_LINE;
    const inside = row.panels.map((panel, index) => {
      const place = {
        x: (index % PER_LINE) * width,
        y: y + HEIGHT * Math.floor(index / PER_LINE),
        w: width,
        h: HEIGHT,
      };
      return panelOf(panel, ++id, place);
    });
    y += HEIGHT * Math.ceil(row.panels.length / PER_LINE);
    return [heading, ...inside];
  });
  const dashboard = {
    uid: 'blip2-edge',
    title: 'BLIP-2: GPU workers',
    description: 'Made by "npm run infra -- dashboard".',
    tags: ['blip2'],
    schemaVersion: 39,
    timezone: 'utc',
    editable: false,
    refresh: '30s',
    time: { from: 'now-3h', to: 'now' },
    templating: { list: VARIABLES },
    annotations: { list: [] },
    panels,
  };
  return `${JSON.stringify(dashboard, null, 2)}\n`;
}

const VARIABLES = [
  { name: 'datasource', label: 'Data source', type: 'datasource', query: 'prometheus' },
  {
    name: 'pool',
    label: 'Pool',
    type: 'custom',
    query: 'interactive,jobs',
    multi: true,
    includeAll: true,
    allValue: '.+',
    current: { text: 'All', value: '$__all' },
  },
];

type Place = { x: number; y: number; w: number; h: number };

function panelOf({ title, description, unit, queries, alert }: Panel, id: number, gridPos: Place) {
  const threshold = alert === undefined ? undefined : thresholdOf(alert);
  const steps = [
    { color: 'green', value: null },
    ...(threshold === undefined ? [] : [{ color: 'red', value: threshold }]),
  ];
  return {
    id,
    type: 'timeseries',
    title,
    description,
    datasource: DATASOURCE,
    gridPos,
    fieldConfig: {
      defaults: {
        unit,
        min: 0,
        thresholds: { mode: 'absolute', steps },
        custom: { thresholdsStyle: { mode: threshold === undefined ? 'off' : 'line' } },
      },
      overrides: [],
    },
    options: {
      legend: { displayMode: 'list', placement: 'bottom', showLegend: true },
      tooltip: { mode: 'multi', sort: 'desc' },
    },
    targets: queries.map(({ expr, legend }, index) => ({
      refId: String.fromCharCode('A'.charCodeAt(0) + index),
      datasource: DATASOURCE,
      expr,
      legendFormat: legend,
    })),
  };
}

/** The number at the end of an alert's expression. @throws Error where there is no such alert */
function thresholdOf(name: string): number {
  const alert = ALERTS.find((each) => each.name === name);
  const number = /> ([\d.]+)$/.exec(alert?.expr ?? '')?.[1];
  if (number === undefined) throw new Error(`The alert ${name} has no threshold.`);
  return Number(number);
}
