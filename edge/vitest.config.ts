/** Tests of the edge run inside workerd, with a real KV; the fetch to the GPU worker is stubbed. */
import { readFile } from 'node:fs/promises';
import { cloudflareTest } from '@cloudflare/vitest-plugin';
import { defineConfig } from 'vitest/config';
import { LIMIT_OPTIONS } from './src/config.ts';

const TEXT_MODULE = /\.(txt|html|css)$/;

export default defineConfig({
  plugins: [
    {
      // What wrangler's rules of type Text do for the bundle.
      name: 'text-modules',
      enforce: 'pre',
      async load(id) {
        if (!TEXT_MODULE.test(id)) return null;
        return `export default ${JSON.stringify(await readFile(id, 'utf8'))}`;
      },
    },
    cloudflareTest(({ inject }) => ({
      main: './src/worker.ts',
      wrangler: { configPath: '../wrangler.toml' },
      miniflare: {
        r2Buckets: ['JOB_IMAGES'],
        bindings: {
          GPU_WORKER_URL: 'http://gpu.test',
          MAX_IMAGE_BYTES: '100000',
          MAX_BODY_BYTES: '200000',
          REQUEST_DEADLINE_MS: '5000',
          GPU_WORKER_RESTART_MS: '0',
          ALLOW_ANONYMOUS: 'true',
          ALLOW_PRIVATE_IMAGE_URLS: '',
          JOBS_QUEUE_URL: inject('queueUrl'),
          AWS_ACCESS_KEY_ID: 'test',
          AWS_SECRET_ACCESS_KEY: 'test',
          JOBS_SECRET: 'a secret of tests that has 32 characters or more',
          JOBS_PART_ITEMS: '50',
          JOBS_WINDOW: '16',
          JOBS_RUNNING_PARTS: '2',
          JOBS_RESEND_MS: '1500',
          // Tests set those that they are about.
          ...Object.fromEntries(Object.values(LIMIT_OPTIONS).map(({ env }) => [env, 'none'])),
        },
      },
    })),
  ],
  test: {
    name: 'edge',
    globalSetup: '../tools/test-queue.ts',
    isolate: false,
    include: ['src/**/*.test.ts'],
    silent: 'passed-only',
    // Alarms, and a queue whose messages come again after a second, on machines of any speed.
    testTimeout: 60_000,
    hookTimeout: 120_000,
    expect: { poll: { timeout: 30_000 } },
  },
});
