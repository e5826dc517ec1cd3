/** What GPU workers, and what is before them, get by each way on which they are reached. */
import { describe, expect, it } from 'vitest';
import { readConfig } from '../config.ts';
import type { Platform } from '../platform.ts';
import { gpuNetwork } from './network.ts';

const URL_OF_WORKER = 'https://gpu.test/v1/run';
const INIT = { method: 'POST', headers: new Headers({ 'x-request-id': 'a' }), body: 'x' };
const TOKEN = { GPU_ACCESS_TOKEN: '8d1c2f.access:5e884898da' };

/** A fetch that remembers what it was asked, under its name. */
function recording(name: string, asked: { name: string; request: Request }[]): Platform['fetch'] {
  return async (url, init) => {
    asked.push({ name, request: new Request(url, init) });
    return new Response(null, { status: 302, headers: { location: 'https://login.test' } });
  };
}

function start(variables: Record<string, string>, isBound: boolean) {
  const asked: { name: string; request: Request }[] = [];
  const network = { fetch: recording('network', asked) } as unknown as Fetcher;
  const env = isBound ? { GPU_NETWORK: network } : {};
  return { asked, fetch: gpuNetwork(env, readConfig(variables), recording('internet', asked)) };
}

describe('GPU workers are asked', () => {
  it.each([
    ['over the internet', false, 'internet'],
    ['over what is bound as GPU_NETWORK', true, 'network'],
  ])('%s, and none of their redirects is followed', async (_how, isBound, name) => {
    const { asked, fetch } = start({}, isBound);
    expect((await fetch(URL_OF_WORKER, INIT)).status).toBe(302);
    expect(asked.map((each) => each.name)).toEqual([name]);
    const { request } = asked[0]!;
    expect([request.url, request.method, request.redirect]).toEqual([
      URL_OF_WORKER,
      'POST',
      'manual',
    ]);
    expect(request.headers.has('cf-access-client-id')).toBe(false);
  });

  it.each([false, true])(
    'with the service token of Access, where there is one (bound: %s)',
    async (isBound) => {
      const { asked, fetch } = start(TOKEN, isBound);
      await fetch(URL_OF_WORKER, INIT);
      expect(Object.fromEntries(asked[0]!.request.headers)).toMatchObject({
        'x-request-id': 'a',
        'cf-access-client-id': '8d1c2f.access',
        'cf-access-client-secret': '5e884898da',
      });
      expect(asked[0]?.request.redirect).toBe('manual');
      // Headers of the caller stay as they are: they are signed, and sent again to another worker.
      expect(INIT.headers.has('cf-access-client-id')).toBe(false);
    },
  );

  it.each(['only-an-id.access', 'a:b:c', ':secret', 'id:', 'id: secret'])(
    'with no token that cannot be one: %j',
    (token) => {
      expect(() => readConfig({ GPU_ACCESS_TOKEN: token })).toThrow(
        'GPU_ACCESS_TOKEN must be an id and a secret, with a colon between them',
      );
    },
  );
});
