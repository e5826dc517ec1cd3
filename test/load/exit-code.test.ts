/** `npm run load` against a service that answers at once, and fails once it is warm: the exit code, and what it says. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { stripVTControlCharacters } from 'node:util';
import { expect, it } from 'vitest';
import { ROOT } from '../../tools/prepare-edge.ts';

/** Questions that warm a service up. */
const KNOWN = 40;

/** Runs it for two seconds. @param statusOf a path with its number among the requests for it, and the body */
async function load(statusOf: (path: string, number: number, body: string) => number) {
  const counts = new Map<string, number>();
  const listener: RequestListener = async (request, reply) => {
    const body = await text(request);
    const path = request.url?.split('?')[0] ?? '';
    const number = (counts.get(path) ?? 0) + 1;
    counts.set(path, number);
    const status = statusOf(path, number, body);
    const slug = status === 429 ? 'too-many-requests' : 'overloaded';
    const problem = { type: `/problems/${slug}`, title: 'x', status, detail: 'x' };
    reply.writeHead(status, { 'content-type': 'application/json' });
    reply.end(status === 200 ? '{}' : JSON.stringify(problem));
  };
  const server = createServer(listener).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const args = [join(ROOT, 'tools/load.ts'), '--url', url, '--seconds', '2'];
  const child = spawn(process.execPath, args, { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'] });
  const printed = Promise.all([text(child.stdout), text(child.stderr)]);
  const [code] = (await once(child, 'exit')) as [number];
  const [output = '', errors = ''] = (await printed).map(stripVTControlCharacters);
  server.close();
  return { code, output, errors };
}

it('ends with 1 where requests fail, and names them in its report', async () => {
  const { code, output, errors } = await load((path, number) =>
    path === '/v1/answers' && number > KNOWN ? 503 : 200,
  );
  expect(code).toBe(1);
  for (const part of ['the mix, question by hash', 'light caller, alone']) {
    const failed = new RegExp(`^Failed: ${part}: \\d+ × 503 overloaded$`, 'm');
    expect(output).toMatch(failed);
    expect(errors).toMatch(failed);
  }
});

it('ends with 0 where only the greedy caller is refused', async () => {
  const { code, output, errors } = await load((path, _, body) =>
    path === '/v1/captions' && body.includes('"n":8') ? 429 : 200,
  );
  expect(code).toBe(0);
  expect(output + errors).not.toContain('Failed:');
});
