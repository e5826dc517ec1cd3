/** Keys as people meet them: made by `npm run keys`, used through clients, revoked. */
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { keyName } from '@blip2/shared/api-key';
import OpenAI, { AuthenticationError, PermissionDeniedError } from 'openai';
import { expect, it } from 'vitest';
import { startStack } from '../../tools/local-stack.ts';
import { ROOT } from '../../tools/prepare-edge.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const run = promisify(execFile);
const storage = temporaryFolder();

type Listed = {
  id: string;
  name: string;
  scopes: string[];
  expires: string | null;
  limits?: object;
};
type Created = Listed & { key: string };

async function keys<T>(...args: string[]): Promise<T> {
  const all = [join(ROOT, 'tools/keys.ts'), ...args, '--storage', storage];
  return JSON.parse((await run(process.execPath, all, { cwd: ROOT })).stdout) as T;
}

it('makes, lists and revokes keys, and keeps no key', async () => {
  expect(await keys('list')).toEqual([]);
  const first = await keys<Created>('create', 'first', '--days', '7', '--scopes', 'text');
  const limited = ['--requests-per-minute', '9', '--images-per-day', 'none'];
  const second = await keys<Created>('create', 'second', ...limited);
  expect(first).toMatchObject({ name: 'first', scopes: ['text'] });
  expect(second.expires).toBeNull();
  expect(second.limits).toEqual({ requests_per_minute: 9, images_per_day: null });
  expect(await keyName(first.key)).toMatch(new RegExp(`^key/${first.id}`));

  const listed = await keys<Listed[]>('list');
  expect(listed.map(({ name }) => name).toSorted()).toEqual(['first', 'second']);
  expect(JSON.stringify(listed)).not.toContain(first.key);

  expect(await keys('revoke', first.id)).toMatchObject({ revoked: { name: 'first' } });
  expect(await keys('list')).toMatchObject([{ name: 'second' }]);
  await expect(keys('usage', 'second')).rejects.toThrow('/v1/usage');
  await expect(keys('revoke', first.id)).rejects.toThrow('There is no key');
  await expect(keys('create', 'third', '--scopes', 'everything')).rejects.toThrow('everything');
}, 120_000);

it('lets in whom a key was made for, while the service runs, and nobody else', async () => {
  await using started = new AsyncDisposableStack();
  const stack = await startStack({ persist: storage, vars: { ALLOW_ANONYMOUS: '' } });
  started.defer(stack.stop);
  const { key } = await keys<Created>('create', 'all');
  const narrow = await keys<Created>('create', 'narrow', '--scopes', 'text');
  const body = await readFile(join(ROOT, 'test/scenes/pair-noto-00.webp'));
  const caption = (headers: Record<string, string>) =>
    fetch(`${stack.url}/v1/captions`, { method: 'POST', body, headers });
  expect((await caption({})).status).toBe(401);
  expect((await caption({ 'x-api-key': key })).status).toBe(200);
  expect((await caption({ authorization: `Bearer ${narrow.key}` })).status).toBe(200);

  const openai = (apiKey: string) =>
    new OpenAI({ apiKey, baseURL: `${stack.url}/v1`, maxRetries: 0 });
  expect((await openai(key).models.list()).data).not.toHaveLength(0);
  await expect(openai('sk-wrong').models.list()).rejects.toThrow(AuthenticationError);
  await expect(openai(narrow.key).models.list()).rejects.toThrow(PermissionDeniedError);
}, 120_000);
