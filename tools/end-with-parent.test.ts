/** A real program that was started through the script, whose parent is killed. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { childrenOf, descendantsOf, runs } from './child-processes.ts';

const SCRIPT = fileURLToPath(new URL('end-with-parent.sh', import.meta.url));
const PARENT = `
  const { spawn } = require('node:child_process');
  const program = ['-e', 'console.log(); setInterval(() => {}, 1e6)'];
  spawn('/bin/sh', ['${SCRIPT}', ...program], { stdio: ['ignore', 'inherit', 'inherit'] });
  setInterval(() => {}, 1e6);`;

/** Starts a parent and its program, and waits until both run. */
async function start() {
  const parent = spawn(process.execPath, ['-e', PARENT], {
    env: { ...process.env, LOCAL_WORKERD: process.execPath },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(parent.stdout, 'data');
  const pid = parent.pid as number;
  const [program = 0] = await childrenOf(pid);
  return { pid, program, watchers: await descendantsOf(program) };
}

const hasSetpriv = () => {
  try {
    execFileSync('setpriv', ['--pdeathsig', 'KILL', 'true'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
};

describe.runIf(process.platform === 'linux')('a program ends with its parent', () => {
  it('when it is stopped', async () => {
    const { pid, program } = await start();
    process.kill(program, 'SIGSTOP');
    process.kill(pid, 'SIGKILL');
    await expect.poll(() => runs(program), { timeout: 30_000 }).toBe(false);
  });

  it.runIf(hasSetpriv())('when its watcher is gone', async () => {
    const { pid, program, watchers } = await start();
    expect(watchers.length).toBeGreaterThan(0);
    for (const watcher of watchers) process.kill(watcher, 'SIGKILL');
    process.kill(pid, 'SIGKILL');
    await expect.poll(() => runs(program), { timeout: 30_000 }).toBe(false);
  });
});
