/** Whether memory grows: known slopes with noise are found within their intervals, and a flat one is said to be flat. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect, it } from 'vitest';
import { growthOf, processesOf } from './memory.ts';
import { seededRandom } from './random.ts';

/** Ten minutes of samples, one every two seconds. */
function samples(perHour: number, seed: number) {
  const random = seededRandom(seed);
  return Array.from({ length: 300 }, (_, i) => {
    const hours = (2 * i) / 3600;
    return { hours, megabytes: 500 + perHour * hours + 20 * (random() - 0.5) };
  });
}

it.each([0, 60, -60, 600])('a slope of %d MB an hour is in its interval', (perHour) => {
  const inside = Array.from({ length: 40 }, (_, seed) => {
    const { slope } = growthOf('GPU worker', samples(perHour, seed));
    return Math.abs(slope!.perHour - perHour) <= slope!.plusMinus;
  });
  // 95 of 100 are expected to be.
  expect(inside.filter(Boolean).length).toBeGreaterThanOrEqual(34);
});

it('reports where it began, where it ended and the most', () => {
  const { start, end, most } = growthOf('workerd', samples(600, 1));
  expect(start).toBeGreaterThan(490);
  expect(end - start).toBeGreaterThan(75);
  expect(most).toBeGreaterThanOrEqual(end);
});

it('says no slope of too few samples', () => {
  expect(growthOf('workerd', samples(0, 1).slice(0, 20)).slope).toBeNull();
});

it.runIf(process.platform === 'linux')(
  'what the GPU worker has started is distinguished from what else there is',
  async () => {
    const wait = 'process.stdin.resume(); process.stdout.write("up")';
    // Started by a thread, and with a name of its own.
    const parent = `
      const { Worker } = require('node:worker_threads');
      new Worker('require("node:child_process").spawn("tail", ["-f", "/dev/null"]); postMessage(0)'.replace(
        'postMessage', 'require("node:worker_threads").parentPort.postMessage'), { eval: true })
        .on('message', () => { ${wait} });
    `;
    const worker = spawn(process.execPath, ['-e', parent]);
    const other = spawn(process.execPath, ['-e', wait]);
    const pids = [worker, other].map(({ pid }) => pid);
    try {
      await Promise.all([once(worker.stdout, 'data'), once(other.stdout, 'data')]);
      const found = await processesOf(worker.pid);
      expect(found.find(({ pid }) => pid === worker.pid)?.process).toBe('GPU worker');
      const tail = found.find(({ process: name }) => name === "GPU worker's tail");
      expect(tail).toBeDefined();
      expect(found.map(({ pid }) => pid)).not.toContain(other.pid);
      process.kill(tail!.pid);
    } finally {
      for (const pid of pids) process.kill(pid!);
    }
  },
);
