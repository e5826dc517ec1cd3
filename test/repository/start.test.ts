/** `npm start` ends with a message where it cannot start, and leaves no process behind. */
import { execFile, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { cp, readFile, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { promisify, stripVTControlCharacters } from 'node:util';
import { describe, expect, it } from 'vitest';
import { startStack } from '../../tools/local-stack.ts';
import { descendantsOf, running } from '../support/processes.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const GOLDEN = fileURLToPath(new URL('../parity/golden/api-opt/checkpoint', import.meta.url));
const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const START = fileURLToPath(new URL('../../tools/start.ts', import.meta.url));

/** What its command line has. */
const PARTS = ['gpu-worker/src/main.ts', 'workerd serve'];

/** The process id of a part that a start script runs now; 0 where there is none. */
async function processOf(pid: number, part: string): Promise<number> {
  const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8');
  for (const child of children.split(' ').filter(Boolean).map(Number)) {
    if ((await running([child])).some((command) => command.includes(part))) return child;
  }
  return 0;
}

async function start(env: Record<string, string>): Promise<{ code: number; errors: string }> {
  const child = spawn(process.execPath, [START], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const errors = text(child.stderr);
  const [code] = (await once(child, 'exit')) as [number];
  return { code, errors: await errors };
}

/**
 * Starts the service by a command, in its own process group, and waits until it is ready.
 * @throws Error with what it printed where it ends before that
 */
async function startBy(command: string, ...args: string[]) {
  const child = spawn(command, args, {
    cwd: ROOT,
    env: { ...process.env, PORT: '0' },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  let errors = '';
  child.stderr.on('data', (text) => {
    errors += text;
  });
  let printed = '';
  for await (const text of child.stdout.iterator({ destroyOnReturn: false })) {
    printed += stripVTControlCharacters(String(text));
    if (printed.includes('Ctrl-C')) break;
  }
  if (!printed.includes('Ctrl-C')) throw new Error(`It did not start: ${printed}${errors}`);
  const url = /ready {2}(\S+)$/m.exec(printed)?.[1] ?? '';
  child.stdout.resume();
  const pid = child.pid as number;
  const descendants = await descendantsOf(pid);
  const endGroup = () => {
    try {
      process.kill(-pid, 'SIGKILL');
    } catch {
      // All have ended, as they should.
    }
  };
  return { pid, url, descendants, printed, [Symbol.dispose]: endGroup };
}

async function expectToEnd(
  { pid, descendants }: { pid: number; descendants: readonly number[] },
  signal: NodeJS.Signals,
): Promise<void> {
  const before = (await running(descendants)).join('\n');
  expect(before).toContain('gpu-worker/src/main.ts');
  expect(before).toContain('workerd serve');
  process.kill(pid, signal);
  await expect.poll(() => running([pid, ...descendants]), { timeout: 20_000 }).toEqual([]);
}

describe('npm start', () => {
  const folder = temporaryFolder();
  // Another test's service may have the storage of this checkout.
  const ownStorage = () => ['--storage', join(folder, randomUUID())];
  const startByNpm = (...args: string[]) => startBy('npm', 'start', '--', ...ownStorage(), ...args);
  const startByNode = () => startBy(process.execPath, START, ...ownStorage());

  describe.runIf(process.platform === 'linux')('leaves nothing behind', () => {
    it.each(['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGKILL'] as const)(
      'when npm alone gets %s',
      async (signal) => {
        using started = await startByNpm();
        await expectToEnd(started, signal);
      },
    );

    it('when it is killed without npm', async () => {
      using started = await startByNode();
      await expectToEnd(started, 'SIGKILL');
    });

    it('when it is killed while what it has started is stopped', async () => {
      using started = await startByNode();
      for (const part of PARTS) process.kill(await processOf(started.pid, part), 'SIGSTOP');
      await expectToEnd(started, 'SIGKILL');
    });
  });

  describe.runIf(process.platform === 'linux')('serves again', () => {
    const healthOf = async (url: string) =>
      (await fetch(`${url}/healthz`).catch(() => null))?.status ?? null;
    const patience = { timeout: 60_000, interval: 100 };

    it.each(PARTS)('when %s is killed, and killed again while it starts', async (part) => {
      using started = await startByNode();
      const killed = new Set<number>();
      while (killed.size < 3) {
        const next = await processOf(started.pid, part);
        if (next !== 0 && !killed.has(next)) process.kill(next, 'SIGKILL');
        if (next !== 0) killed.add(next);
        await new Promise((resolve) => setImmediate(resolve));
      }
      // What /healthz says may be a second old, from before the last one was killed.
      const isAnother = async () => {
        const now = await processOf(started.pid, part);
        return now !== 0 && !killed.has(now);
      };
      await expect.poll(isAnother, patience).toBe(true);
      await expect.poll(() => healthOf(started.url), patience).toBe(200);
      const descendants = await descendantsOf(started.pid);
      await expectToEnd({ pid: started.pid, descendants }, 'SIGTERM');
    });

    it.each(PARTS)('when %s is stopped', async (part) => {
      using started = await startByNode();
      const stopped = await processOf(started.pid, part);
      process.kill(stopped, 'SIGSTOP');
      await expect.poll(() => processOf(started.pid, part), patience).not.toBe(stopped);
      await expect.poll(() => healthOf(started.url), patience).toBe(200);
      expect(await running([stopped])).toEqual([]);
    });
  });

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
    // Nothing else is looked at before it.
    const { code, errors } = await start({ PORT: String(port), BLIP2_CHECKPOINT: '/nowhere' });
    server.close();
    expect(code).toBe(1);
    expect(errors).toBe(`Port ${port} is taken. Choose another: PORT=${port + 1}\n`);
  });

  it('names a port that is taken while it starts', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    server.close();
    await once(server, 'close');
    const onStatus = () => void (server.listening || server.listen(port, '127.0.0.1'));
    const stack = startStack({ checkpoint: GOLDEN, port, onStatus, logLevel: 'none' });
    await expect(stack).rejects.toThrow(`Port ${port} is taken. Choose another: PORT=${port + 1}`);
    server.close();
  });

  it('listens where its options say, says what it serves, and says when it runs already', async () => {
    using started = await startByNpm('--host', '0.0.0.0');
    const [, port = ''] = /ready {2}http:\/\/127\.0\.0\.1:(\d+)$/m.exec(started.printed) ?? [];
    expect(started.printed).toMatch(/^ {2}model {6}blip2-scenes: knows emoji scenes only$/m);
    expect(started.printed).toMatch(/^ {2}precision {2}fp32$/m);
    expect(started.printed).toMatch(/^ {2}runs on {4}\w+/m);
    const [request = ''] = /curl -s .*/.exec(started.printed) ?? [];
    const reply = await promisify(execFile)('sh', ['-c', request], { cwd: folder });
    expect(JSON.parse(reply.stdout)).toHaveProperty('caption');
    const { code, errors } = await start({ PORT: port });
    expect(code).toBe(1);
    expect(errors).toContain(`BLIP-2 is already running at http://127.0.0.1:${port}.`);
  });

  it.each([
    ['a port that is no number', { PORT: 'abc' }, 'whole number'],
    [
      'a host that is no address',
      { PORT: '0', HOST: 'gpu.invalid' },
      'HOST=gpu.invalid is no address',
    ],
    ['a checkpoint that does not exist', { PORT: '0', BLIP2_CHECKPOINT: '/nowhere' }, '/nowhere'],
  ])('refuses %s', async (_name, env, message) => {
    const { code, errors } = await start(env);
    expect(code).toBe(1);
    expect(errors).toContain(message);
  });
});
