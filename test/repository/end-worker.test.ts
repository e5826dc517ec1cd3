import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { FINISH_MS } from '@blip2/gpu-worker/job-options';
import { afterEach, expect, it, vi } from 'vitest';
import { endWorker } from '../../tools/worker-process.ts';

const STUBBORN = "process.on('SIGTERM', () => console.log('asked')); setInterval(() => {}, 1e6);";

afterEach(() => vi.useRealTimers());

it('a worker that is asked to end has the time to finish items of jobs, and is killed after that', async () => {
  const worker = spawn(process.execPath, ['-e', `${STUBBORN} console.log('runs');`], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(worker.stdout, 'data');
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  const asked = once(worker.stdout, 'data');
  const ended = endWorker(worker);
  await asked;
  const kill = vi.spyOn(worker, 'kill');
  vi.advanceTimersByTime(FINISH_MS + 5000);
  expect(kill).not.toHaveBeenCalled();
  vi.advanceTimersByTime(60_000);
  await ended;
  expect(worker.signalCode).toBe('SIGKILL');
});
