/** What `npm start` says when it cannot, and what it leaves behind. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const GOLDEN = fileURLToPath(new URL('../parity/golden/api-opt/checkpoint', import.meta.url));
const START = fileURLToPath(new URL('../../tools/start.ts', import.meta.url));

async function start(env: Record<string, string>): Promise<{ code: number; errors: string }> {
  const child = spawn(process.execPath, [START], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const errors = text(child.stderr);
  const [code] = (await once(child, 'exit')) as [number];
  return { code, errors: await errors };
}

/** What a process has started: the GPU worker, and workerd. */
async function childrenOf(pid: number): Promise<{ worker: number; others: number[] }> {
  const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8');
  const others: number[] = [];
  let worker: number | undefined;
  for (const child of children.trim().split(' ').map(Number)) {
    const command = await readFile(`/proc/${child}/cmdline`, 'utf8');
    if (command.includes('gpu-worker/src/main.ts')) worker = child;
    else others.push(child);
  }
  if (worker === undefined) throw new Error('no GPU worker');
  return { worker, others };
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

describe('npm start', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'blip2-start-'));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it.runIf(process.platform === 'linux').each(['SIGTERM', 'SIGKILL'] as const)(
    'leaves no GPU worker behind after %s',
    async (signal) => {
      const child = spawn(process.execPath, [START], {
        env: { ...process.env, PORT: '0' },
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      for await (const line of child.stdout) if (String(line).includes('is ready')) break;
      const { worker, others } = await childrenOf(child.pid as number);
      expect(isRunning(worker)).toBe(true);
      const exited = once(child, 'exit');
      child.kill(signal);
      await exited;
      // workerd does not notice that nobody is left to stop it.
      for (const other of others) if (isRunning(other)) process.kill(other);
      await expect.poll(() => isRunning(worker), { timeout: 10_000 }).toBe(false);
    },
  );

  it('refuses a checkpoint whose tokenizer is damaged', async () => {
    const damaged = join(folder, 'damaged');
    await cp(GOLDEN, damaged, { recursive: true });
    await writeFile(join(damaged, 'tokenizer.json'), '{');
    const { code, errors } = await start({
      PORT: '0',
      BLIP2_CHECKPOINT: damaged,
      BLIP2_BUNDLES: folder,
    });
    expect(code).toBe(1);
    expect(errors).toContain('tokenizer.json of damaged is damaged');
  });

  it('names a port that is taken', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as { port: number };
    const { code, errors } = await start({ PORT: String(port) });
    server.close();
    expect(code).toBe(1);
    expect(errors).toContain(`Port ${port} is taken`);
  });

  it.each([
    ['a port that is none', { PORT: 'abc' }, 'whole number'],
    ['a checkpoint that is not there', { PORT: '0', BLIP2_CHECKPOINT: '/nowhere' }, '/nowhere'],
  ])('refuses %s', async (_name, env, message) => {
    const { code, errors } = await start(env);
    expect(code).toBe(1);
    expect(errors).toContain(message);
  });
});
