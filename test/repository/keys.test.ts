/** `npm run keys` on the local storage: what it prints, and that the edge lets in whom it made a key for. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { keyName } from '@blip2/shared/api-key';
import { expect, it } from 'vitest';
import { ROOT } from '../../tools/prepare-edge.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const run = promisify(execFile);

type Listed = { id: string; name: string; scopes: string[]; expires: string | null };

it('makes, lists and revokes keys, and keeps no key', async () => {
  const storage = await temporaryFolder();
  const keys = async (...args: string[]): Promise<unknown> => {
    const all = [join(ROOT, 'tools/keys.ts'), ...args, '--storage', storage];
    return JSON.parse((await run(process.execPath, all, { cwd: ROOT })).stdout);
  };
  expect(await keys('list')).toEqual([]);
  const first = (await keys('create', 'first', '--days', '7', '--scopes', 'text')) as Listed & {
    key: string;
  };
  const second = (await keys('create', 'second')) as Listed & { key: string };
  expect(first).toMatchObject({ name: 'first', scopes: ['text'] });
  expect(second.expires).toBeNull();
  expect(await keyName(first.key)).toMatch(new RegExp(`^key/${first.id}`));

  const listed = (await keys('list')) as Listed[];
  expect(listed.map(({ name }) => name).toSorted()).toEqual(['first', 'second']);
  expect(JSON.stringify(listed)).not.toContain(first.key);

  expect(await keys('revoke', first.id)).toMatchObject({ revoked: { name: 'first' } });
  expect(await keys('list')).toMatchObject([{ name: 'second' }]);
  await expect(keys('revoke', first.id)).rejects.toThrow('There is no key');
  await expect(keys('create', 'third', '--scopes', 'everything')).rejects.toThrow('everything');
}, 120_000);
