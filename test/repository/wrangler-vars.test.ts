/** `wrangler.toml` sets what the edge declares, to the declared defaults, and lets nobody in by itself. */
import { join } from 'node:path';
import { withDefaults } from '@blip2/shared/config/option';
import { expect, it } from 'vitest';
import { unstable_readConfig } from 'wrangler';
import { EDGE_OPTIONS, readConfig } from '../../edge/src/config.ts';
import { buildWorker } from '../../tools/build-worker.ts';
import { EDGE_CONFIG } from '../../tools/local-stack.ts';
import { ROOT } from '../../tools/prepare-edge.ts';
import { serveWorker } from '../../tools/serve-worker.ts';

it('[vars] are the variables that the edge declares, with their defaults', () => {
  const { vars } = unstable_readConfig({ config: EDGE_CONFIG });
  const declared = Object.values(EDGE_OPTIONS).filter(({ secret }) => !secret);
  expect(Object.keys(vars)).toEqual(declared.map(({ env }) => env));
  expect(readConfig(vars)).toEqual(withDefaults(EDGE_OPTIONS));
});

it('[vars] leave the service closed, by their values', () => {
  const { vars } = unstable_readConfig({ config: EDGE_CONFIG });
  expect(vars).toMatchObject({ ALLOW_ANONYMOUS: '', ALLOW_ANONYMOUS_DELETE: '' });
  expect(readConfig(vars)).toMatchObject({ allowAnonymous: false, allowAnonymousDelete: false });
});

it('a deployment by it alone lets in nobody without a key, or with one of their own making', async () => {
  const worker = await serveWorker(
    await buildWorker({
      config: EDGE_CONFIG,
      entrypoint: join(ROOT, 'edge/src/worker.ts'),
      sources: ['edge/src', 'edge/generated', 'shared/src'].map((path) => join(ROOT, path)),
    }),
    { config: EDGE_CONFIG, logLevel: 'none' },
  );
  try {
    const ask = async (path: string, method: string, headers: Record<string, string> = {}) => {
      const body = method === 'POST' ? '{}' : null;
      const response = await fetch(`${worker.url}${path}`, { method, headers, body });
      return { status: response.status, text: await response.text() };
    };
    const sha256 = '0'.repeat(64);
    const routes = [
      ['POST', '/v1/captions'],
      ['POST', '/v1/answers'],
      ['POST', '/v1/embeddings'],
      ['POST', '/v1/match'],
      ['GET', `/v1/embeddings/${sha256}`],
      ['DELETE', `/v1/images/${sha256}`],
      ['POST', '/v1/jobs'],
      ['GET', '/v1/jobs'],
      ['GET', '/v1/files'],
      ['POST', '/v1/chat/completions'],
      ['POST', '/hf/image-to-text'],
      ['POST', '/replicate/v1/predictions'],
      ['POST', '/api/chat'],
      ['POST', '/moondream/v1/caption'],
    ] as const;
    for (const [method, path] of routes) {
      const json = { 'content-type': 'application/json' };
      const without = await ask(path, method, json);
      expect([path, without]).toMatchObject([
        path,
        { status: 401, text: expect.stringMatching(/key/i) },
      ]);
      const made = { ...json, authorization: `Bearer sk-${'a'.repeat(43)}` };
      expect([path, await ask(path, method, made)]).toMatchObject([path, { status: 401 }]);
    }
  } finally {
    await worker.stop();
  }
});
