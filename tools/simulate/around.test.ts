/** The parts of a measured request add up to it again. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { aroundOf } from './around.ts';
import { condensed, drawByRows } from './service-times.ts';
import { actionsOf } from './trace-file.ts';
import { countsFrom } from './worker-metrics.ts';

const ms = fc.double({ min: 0, max: 100, noNaN: true });
const sum = ({ client, edge, http }: { client: number; edge: number; http: number }) =>
  client + edge + http;

it('what a request waits for and what it computes is what was measured', () => {
  const measured = fc.record({
    way: fc.double({ min: 1, max: 100, noNaN: true }),
    // How much longer each of a few takes, and as much shorter another one.
    slower: fc.array(fc.double({ min: 0, max: 0.9, noNaN: true }), { minLength: 1, maxLength: 8 }),
    back: ms,
    engine: ms,
    client: ms,
    edge: ms,
    http: ms,
    decoders: ms,
  });
  fc.assert(
    fc.property(measured, ({ way, slower, back, engine, client, edge, http, decoders }) => {
      const typical = way + decoders;
      const around = aroundOf(
        {
          ways: [1, ...slower.flatMap((share) => [1 + share, 1 - share])].map((of) => typical * of),
          back,
          engine,
          processor: { client, edge, worker: http + engine, decoders },
        },
        { client: 0, edge: 0, http: 0 },
      );
      const times = around.spread.map(
        (of) => of * (sum(around.before) + around.decode + around.beforeWait),
      );
      expect(times[(times.length - 1) / 2]).toBeCloseTo(typical, 1);
      expect(times.at(-1)).toBeCloseTo(typical * (1 + Math.max(...slower)), 0);
      expect(around.decode).toBeCloseTo(decoders, 1);
      expect(sum(around.after) + around.afterWait).toBeCloseTo(back, 1);
      const computed = sum(around.before) + sum(around.after) + sum(around.later);
      expect(computed).toBeCloseTo(client + edge + http, 1);
    }),
  );
});

it('a way that takes twice as long now and then computes no more for it in all', () => {
  const processor = { client: 1, edge: 4, worker: 2, decoders: 0 };
  const around = aroundOf(
    { ways: [10, 10, 10, 30], back: 0, engine: 0, processor },
    { client: 0, edge: 0, http: 0 },
  );
  expect(around.spread).toEqual([1, 1, 1, 3]);
  expect(around.beforeWait + sum(around.before)).toBeCloseTo(10, 2);
  expect(1.5 * sum(around.before) + sum(around.later)).toBeCloseTo(7, 2);
});

it('a few samples have the mean of many', () => {
  const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;
  const many = Array.from({ length: 3200 }, (_, i) => (i % 100) ** 2 / 100);
  expect(condensed(many)).toHaveLength(32);
  expect(mean(condensed(many))).toBeCloseTo(mean(many), 1);
});

it('times between two numbers of rows are between their times', () => {
  const table = [
    { rows: 1, ms: [10] },
    { rows: 3, ms: [20] },
  ];
  expect([1, 2, 3, 5].map((rows) => drawByRows(table, rows, () => 0))).toEqual([10, 15, 20, 30]);
});

it("counts are read from a worker's metrics", () => {
  const text = [
    'blip2_engine_action_seconds_count{action="images",execution_provider="cpu"} 7',
    'blip2_engine_action_seconds_count{action="step",execution_provider="cpu"} 90',
    'blip2_prefix_cache_bytes{execution_provider="cpu"} 900',
    'blip2_prefix_cache_lookups_total{result="hit",execution_provider="cpu"} 5',
    'blip2_prefix_cache_lookups_total{result="miss",execution_provider="cpu"} 2',
  ].join('\n');
  expect(countsFrom(text)).toEqual({
    encodes: 7,
    prefixHits: 5,
    prefixMisses: 2,
    prefixBytes: 900,
  });
});

it('an action of a trace lasts until the engine begins the next, where it has more to do', () => {
  const action = (name: string, at: number, ms: number, rows: number) =>
    `${JSON.stringify({ pid: 1, ph: 'X', name, tid: 1, ts: 1000 * at, dur: 1000 * ms, args: { rows } })},`;
  const text = [
    '[',
    '{"pid":1,"ph":"b","cat":"request","id":1,"name":"generate","ts":1,"args":{}},',
    action('prefill', 10, 5, 1),
    action('step', 15.5, 2, 1),
    action('images', 30, 20, 0),
    '{"pid":1,"ph":"X","name":"st',
  ].join('\n');
  expect(actionsOf(text)).toEqual([
    { name: 'prefill', at: 10, ms: 5.5, rows: 1 },
    { name: 'step', at: 15.5, ms: 2, rows: 1 },
    { name: 'images', at: 30, ms: 20, rows: 0 },
  ]);
});
