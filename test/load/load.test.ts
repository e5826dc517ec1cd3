/** The load generator on the real service for a few seconds: each kind of request is answered, and the report is whole. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { measureLoad } from '../../tools/load/measure-load.ts';
import { MIX } from '../../tools/load/mix.ts';
import { describeReport, failuresIn, type LoadReport } from '../../tools/load/report.ts';
import { type Stack, startStack } from '../../tools/local-stack.ts';

const CALLER_HEADER = 'cf-connecting-ip';

let stack: Stack;
let report: LoadReport;
beforeAll(async () => {
  stack = await startStack({ vars: { CLIENT_ADDRESS_HEADER: CALLER_HEADER } });
  const measured = await measureLoad({
    url: stack.url,
    callerHeader: CALLER_HEADER,
    seed: 2,
    known: 4,
    // Fewer than there are places: however slow the machine is, none is refused.
    mix: { rate: 10, seconds: 4, arrivals: 'fixed' },
    fill: false,
    partSeconds: 3,
    workerPid: () => stack.worker.pid,
  });
  report = { command: 'npm run load --', machine: 'this one', ...measured };
});
afterAll(() => stack?.stop());

it('every kind is sent and answered', () => {
  const { kinds, sent, failed } = report.mix;
  expect(kinds.filter(({ failures }) => Object.keys(failures).length > 0)).toEqual([]);
  expect({ sent, failed }).toEqual({ sent: 40, failed: 0 });
  expect(kinds.map(({ kind }) => kind)).toEqual(Object.keys(MIX));
  for (const { kind, reply, firstToken, sent: some } of kinds) {
    expect([kind, reply.count]).toEqual([kind, some]);
    expect(some).toBeGreaterThan(0);
    const isStreamed = /question|image/.test(kind);
    expect([kind, firstToken.count]).toEqual([kind, isStreamed ? some : 0]);
  }
});

it('time between tokens is measured alone and beside new images', () => {
  const { alone, besideImages, texts, images } = report.tokens;
  expect(alone.count).toBeGreaterThan(0);
  expect(besideImages.count).toBeGreaterThan(0);
  expect({ ...texts.failures, ...images.failures }).toEqual({});
});

it('a light caller is answered beside a greedy one', () => {
  const { alone, besideGreedy, asGreedy, greedy } = report.fairness;
  expect(alone).toMatchObject({ sent: 4, failures: {} });
  expect(besideGreedy).toMatchObject({ sent: 4, failures: {} });
  expect(greedy.sent).toBeGreaterThan(0);
  // One caller may have more places than these have requests: none is refused at that address, either.
  expect([asGreedy.sent, asGreedy.failures, greedy.failures]).toEqual([4, {}, {}]);
  expect(asGreedy.reply.count).toBe(4);
  expect(failuresIn(report)).toEqual([]);
});

it.runIf(process.platform === 'linux')('memory is that of GPU worker and workerd', () => {
  const names = report.memory.map(({ process }) => process);
  expect(names).toEqual(expect.arrayContaining(['GPU worker', 'workerd']));
  for (const { start } of report.memory) expect(start).toBeGreaterThan(1);
});

it('the report names every kind and what the generator itself delayed', () => {
  const text = describeReport(report);
  for (const kind of Object.keys(MIX)) expect(text).toContain(`${kind}, whole reply`);
  expect(text).toContain('sent late by the generator');
  expect(JSON.parse(JSON.stringify(report))).toEqual(report);
});
