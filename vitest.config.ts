/** The tests of the repository: those of the edge in workerd, unit tests beside the code, and those that span workspaces. */
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    globalSetup: './tools/vitest-setup.ts',
    projects: [
      './edge/vitest.config.ts',
      {
        test: {
          name: 'node',
          include: ['shared/src/**/*.test.ts', 'gpu-worker/src/**/*.test.ts', 'tools/**/*.test.ts'],
          testTimeout: 60_000,
          hookTimeout: 120_000,
        },
      },
      {
        test: {
          name: 'system',
          include: ['test/**/*.test.ts'],
          testTimeout: 120_000,
          hookTimeout: 300_000,
          fileParallelism: false,
        },
      },
    ],
  },
});
