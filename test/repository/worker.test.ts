/** `npm run worker`: the GPU worker alone, on whatever Node is there. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { descendantsOf, endingWithTest, running } from '../support/processes.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

function startWorker(env: Record<string, string>) {
  return spawn('npm', ['run', '-s', 'worker'], {
    cwd: ROOT,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
}

/** Waits until it has logged an event. */
async function logged(worker: ReturnType<typeof startWorker>, event: string): Promise<string> {
  let log = '';
  for await (const chunk of worker.stderr.iterator({ destroyOnReturn: false })) {
    log += chunk;
    const line = log.split('\n').find((each) => each.includes(`"event":"${event}"`));
    if (line?.endsWith('}')) return line;
  }
  throw new Error(`The worker ended without ${event}: ${log}`);
}

it.runIf(process.platform === 'linux').each(['SIGTERM', 'SIGINT', 'SIGKILL'] as const)(
  'drains and ends when npm alone gets %s',
  async (signal) => {
    const worker = startWorker({ BLIP2_WORKER_PORT: '0' });
    await logged(worker, 'ready');
    const pid = worker.pid as number;
    const all = [pid, ...(await descendantsOf(pid))];
    using _all = endingWithTest(all);
    expect((await running(all)).join('\n')).toContain('gpu-worker/src/main.ts');
    process.kill(pid, signal);
    expect(JSON.parse(await logged(worker, 'stopping'))).toMatchObject({ reason: 'SIGTERM' });
    await expect.poll(() => running(all), { timeout: 15_000 }).toEqual([]);
  },
);

it('says who has its port before it looks at a checkpoint', async () => {
  const first = startWorker({ BLIP2_WORKER_PORT: '0' });
  const { url } = JSON.parse(await logged(first, 'ready')) as { url: string };
  const { port } = new URL(url);
  const second = startWorker({ BLIP2_WORKER_PORT: port, BLIP2_CHECKPOINT: '/nowhere' });
  const ended = once(second, 'exit');
  expect(await text(second.stderr)).toContain(
    `A GPU worker of blip2-scenes is already running at ${url}.`,
  );
  expect(await ended).toEqual([1, null]);
  const firstEnded = once(first, 'exit');
  first.stderr.resume();
  first.kill('SIGTERM');
  await firstEnded;
});
