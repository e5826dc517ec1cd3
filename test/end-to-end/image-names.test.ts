/** Images by a name that looks public and has a private address, with `npm start` on a machine whose hosts file has such a name. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { ROOT } from '../../tools/prepare-edge.ts';
import { file, type ImageHost, startImageHost } from '../support/image-host.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { testImages } from '../support/test-images.ts';

/** A program that sees other mounts than this one: the hosts file is the system's, and nobody's to change for a test. */
const UNSHARED = ['--user', '--map-root-user', '--mount'];
const canMount =
  spawnSync('unshare', [...UNSHARED, 'mount', '--bind', '/etc/hosts', '/etc/hosts']).status === 0;
if (!canMount) console.warn('No mounts of its own (unshare): names of images are not tested.');

const NAME = 'images.private-address.example';
const START = 'mount --bind "$HOSTS" /etc/hosts && exec "$@"';

describe.runIf(canMount)('an image by a name that resolves to 127.0.0.1', () => {
  const folder = temporaryFolder();
  const hosts = join(folder, 'hosts');
  let host: ImageHost;
  beforeAll(async () => {
    const [image] = await testImages(1);
    await writeFile(hosts, `127.0.0.1 localhost ${NAME}\n`);
    host = await startImageHost({ '/image': file('image/webp', image!.bytes) });
  });
  afterAll(() => host?.stop());

  /** Starts the service where the name resolves, until the end of the test. @returns its URL */
  async function start(variables: Record<string, string>): Promise<string> {
    const command = [process.execPath, join(ROOT, 'tools/start.ts'), '--no-jobs'];
    const storage = ['--storage', join(folder, 'state')];
    const child = spawn('unshare', [...UNSHARED, 'sh', '-c', START, 'sh', ...command, ...storage], {
      cwd: ROOT,
      env: { ...process.env, PORT: '0', HOSTS: hosts, ...variables },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const ended = once(child, 'exit');
    onTestFinished(async () => {
      child.kill('SIGTERM');
      await ended;
    });
    let printed = '';
    for await (const text of child.stdout.iterator({ destroyOnReturn: false })) {
      printed += stripVTControlCharacters(String(text));
      if (printed.includes('Ctrl-C')) break;
    }
    child.stdout.resume();
    return /ready {2}(\S+)$/m.exec(printed)?.[1] ?? '';
  }

  async function embed(url: string) {
    const response = await fetch(`${url}/v1/embeddings`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ image: { url: `http://${NAME}:${host.port}/image` } }),
    });
    return (await response.json()) as unknown;
  }

  it('is refused, and its host sees no request', async () => {
    expect(await embed(await start({}))).toMatchObject({
      status: 400,
      type: '/problems/image-url-failed',
      detail: expect.stringContaining(`${NAME}, does not resolve to a public address`),
    });
    expect(host.requests).toEqual([]);
  });

  it('is fetched where the operator allows private addresses', async () => {
    const url = await start({ ALLOW_PRIVATE_IMAGE_URLS: 'true' });
    expect(await embed(url)).toMatchObject({ image: { format: 'webp' } });
    expect(host.requests).toHaveLength(1);
  });
});
