/** What `npm start` says when it cannot. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const START = fileURLToPath(new URL('../../scripts/start.ts', import.meta.url));

async function start(env: Record<string, string>): Promise<{ code: number; errors: string }> {
  const child = spawn(process.execPath, [START], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const errors = text(child.stderr);
  const [code] = (await once(child, 'exit')) as [number];
  return { code, errors: await errors };
}

describe('npm start', () => {
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
