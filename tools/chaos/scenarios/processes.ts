/** Processes and threads that die or stop. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { childrenOf, descendantsOf, runs } from '../../child-processes.ts';
import type { LocalWorker } from '../../local-worker.ts';
import { ROOT } from '../../prepare-edge.ts';
import type { FaultScenario, TrialScenario } from '../scenario.ts';

const fault = (
  name: string,
  about: string,
  run: FaultScenario['run'],
  more: Partial<FaultScenario> = {},
): FaultScenario => ({ kind: 'fault', name, about, run, ...more });

const short = { isShort: true } as const;

/** `npm start`'s own process is killed: nothing may be left of it. */
const startKilled: TrialScenario = {
  kind: 'trial',
  name: 'start-killed',
  about: 'SIGKILL of the start script, its children stopped',
  run: async ({ tally }) => {
    const child = spawn(process.execPath, [join(ROOT, 'tools/start.ts')], {
      env: { ...process.env, PORT: '0' },
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    let printed = '';
    for await (const text of child.stdout.iterator({ destroyOnReturn: false })) {
      printed += text;
      if (printed.includes('Ctrl-C')) break;
    }
    const pid = child.pid ?? 0;
    const all = await descendantsOf(pid);
    for (const each of all) process.kill(each, 'SIGSTOP');
    const exited = once(child, 'exit');
    // Watchers are what ends the others: somebody who stops those as well has to end them.
    for (const each of all) if (await isWatcher(each)) process.kill(each, 'SIGCONT');
    process.kill(pid, 'SIGKILL');
    await exited;
    const start = performance.now();
    const left = async () => (await Promise.all(all.map(runs))).filter(Boolean).length;
    while ((await left()) > 0 && performance.now() < start + 30_000) await delay(50);
    const stuck = await left();
    tally.add({ label: `${stuck} of ${all.length} processes left`, isLost: false, isWrong: false });
    for (const each of all) if (await runs(each)) process.kill(each, 'SIGKILL');
    return { stuck, recoverySeconds: stuck > 0 ? null : (performance.now() - start) / 1000 };
  },
};

/** Right answers while one of two GPU workers is away. */
const MEANWHILE = 32;
const RUNNING = /^blip2_num_requests_running\{[^}]*\} [1-9]/m;

/** The other answers meanwhile: that is what two are for. */
const killedOfTwo: FaultScenario = {
  kind: 'fault',
  name: 'worker-killed-of-two',
  about: 'SIGKILL of one of two GPU workers, amid its streams and uploads',
  prepare: async () => ({ options: { workers: 2 }, [Symbol.asyncDispose]: async () => {} }),
  run: async ({ stack, traffic }) => {
    const [, killed] = stack.workers as [LocalWorker, LocalWorker];
    const metrics = async () => (await fetch(`${killed.url}/metrics`)).text();
    while (!RUNNING.test(await metrics())) await delay(1);
    killed.process.kill('SIGKILL');
    await once(killed.process, 'exit');
    const isBack = async () => (await fetch(`${killed.url}/readyz`).catch(() => null))?.ok === true;
    const answered = () => traffic.tally.saw.get('200') ?? 0;
    const until = answered() + MEANWHILE;
    while (answered() < until) {
      if (await isBack()) throw new Error('the other GPU worker answers too little meanwhile');
      await delay(10);
    }
  },
};

/** Process ids of those that decode images for the GPU worker. */
async function decodersOf(worker: number): Promise<number[]> {
  const { readFile } = await import('node:fs/promises');
  const commands = (await childrenOf(worker)).map(async (pid) => {
    const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    return command.includes('decoder.ts') ? [pid] : [];
  });
  return (await Promise.all(commands)).flat();
}

async function isWatcher(pid: number): Promise<boolean> {
  const { readFile } = await import('node:fs/promises');
  const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
  return command.startsWith('/bin/sh') || command.startsWith('sleep');
}

export const PROCESS_SCENARIOS = [
  fault(
    'worker-killed',
    'SIGKILL of the GPU worker',
    async (world) => {
      process.kill(world.worker, 'SIGKILL');
    },
    short,
  ),
  fault(
    'worker-killed-again',
    'SIGKILL of the GPU worker, three times while it starts',
    async (world) => {
      for (let i = 0; i < 3; i++) {
        const { worker } = world;
        process.kill(worker, 'SIGKILL');
        while (world.worker === worker) await delay(10);
      }
      world.faulted();
    },
  ),
  killedOfTwo,
  fault(
    'worker-stopped',
    'SIGSTOP of the GPU worker',
    async (world) => {
      process.kill(world.worker, 'SIGSTOP');
    },
    short,
  ),
  fault(
    'edge-killed',
    'SIGKILL of workerd',
    async (world) => {
      process.kill(await world.edge(), 'SIGKILL');
    },
    short,
  ),
  fault('edge-killed-again', 'SIGKILL of workerd, three times while it starts', async (world) => {
    for (let i = 0; i < 3; i++) {
      const edge = await world.edge();
      process.kill(edge, 'SIGKILL');
      while (await runs(edge)) await delay(5);
    }
    world.faulted();
  }),
  fault('edge-stopped', 'SIGSTOP of workerd', async (world) => {
    process.kill(await world.edge(), 'SIGSTOP');
  }),
  fault(
    'engine-crashed',
    'an error in the engine thread that nobody catches',
    async (world) => {
      process.kill(world.worker, 'SIGUSR2');
    },
    short,
  ),
  fault('decoders-stopped', 'SIGSTOP of all processes that decode images', async (world) => {
    for (const pid of await decodersOf(world.worker)) process.kill(pid, 'SIGSTOP');
  }),
  fault(
    'decoders-killed',
    'SIGKILL of processes that decode images, 25 times in 15 s',
    async (world) => {
      for (let killed = 0; killed < 25; killed++) {
        const [pid] = await decodersOf(world.worker);
        if (pid !== undefined) process.kill(pid, 'SIGKILL');
        await delay(600);
      }
      world.faulted();
    },
  ),
  fault(
    'engine-hung',
    'the engine thread never comes back from a step',
    async (world) => {
      process.kill(world.worker, 'SIGWINCH');
    },
    short,
  ),
  fault('worker-drained', 'SIGTERM of the GPU worker', async (world) => {
    process.kill(world.worker, 'SIGTERM');
  }),
  fault('clock-jumped', "the GPU worker's clock a day ahead, then two days back", async (world) => {
    for (let i = 0; i < 2; i++) {
      process.kill(world.worker, 'SIGIO');
      await delay(2000);
    }
    world.faulted();
  }),
  startKilled,
] as const;
