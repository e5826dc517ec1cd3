/** What real processes do, as the kernel tells it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { afterEach, describe, expect, it } from 'vitest';
import { ActivityMeter, isStopped } from './process-usage.ts';

const children: ChildProcess[] = [];
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
});

/** @param program prints something once it is what it is to be */
async function launch(program: string): Promise<number> {
  const child = spawn(process.execPath, ['-e', program]);
  children.push(child);
  await once(child.stdout, 'data');
  return child.pid as number;
}

describe.runIf(process.platform === 'linux')('a process', () => {
  it('that computes in any thread is seen to', async () => {
    const pid = await launch(`
      const begun = new Int32Array(new SharedArrayBuffer(4));
      const thread = \`
        const { workerData: begun } = require('node:worker_threads');
        Atomics.store(begun, 0, 1);
        Atomics.notify(begun, 0);
        for (;;);\`;
      new (require('node:worker_threads').Worker)(thread, { eval: true, workerData: begun });
      Atomics.wait(begun, 0, 0);
      console.log();`);
    const meter = new ActivityMeter();
    expect(meter.read(pid)).toBe('computed');
    // Between two hundredths of a second it is as one that waits for its turn.
    const seen = new Set<string | null>();
    await expect.poll(() => seen.add(meter.read(pid)).size, { interval: 1 }).toBeGreaterThan(1);
    expect([...seen].sort()).toEqual(['computed', 'starved']);
  });

  it('that waits does nothing', async () => {
    const pid = await launch('setInterval(() => {}, 1e6); console.log()');
    const meter = new ActivityMeter();
    await expect.poll(() => meter.read(pid)).toBe('nothing');
    expect(isStopped(pid)).toBe(false);
  });

  it('that is stopped does nothing, whatever it did', async () => {
    const pid = await launch('console.log(); for (;;);');
    process.kill(pid, 'SIGSTOP');
    const meter = new ActivityMeter();
    await expect.poll(() => meter.read(pid)).toBe('nothing');
    expect(isStopped(pid)).toBe(true);
  });

  it('that is gone tells nothing', () => {
    expect(new ActivityMeter().read(2 ** 30)).toBeNull();
  });
});
