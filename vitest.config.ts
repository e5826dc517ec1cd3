/** The tests of the repository: those of the edge in workerd, unit tests beside the code, and those that span workspaces. */
import { defineConfig } from 'vitest/config';

/** What a test waits for comes late on a busy machine. */
const PATIENT = { poll: { timeout: 30_000 } };

export default defineConfig({
  test: {
    globalSetup: './tools/vitest-setup.ts',
    projects: [
      './edge/vitest.config.ts',
      {
        test: {
          name: 'node',
          // Loading the modules anew for each file takes as long as many of the tests.
          isolate: false,
          include: ['shared/src/**/*.test.ts', 'gpu-worker/src/**/*.test.ts', 'tools/**/*.test.ts'],
          testTimeout: 60_000,
          hookTimeout: 120_000,
          expect: PATIENT,
        },
      },
      {
        test: {
          name: 'system',
          include: ['test/**/*.test.ts'],
          exclude: ['test/clients/**'],
          setupFiles: ['./test/support/described-traffic.ts'],
          testTimeout: 120_000,
          hookTimeout: 300_000,
          expect: PATIENT,
          // Each file starts processes of its own, and waits for them most of the time.
          maxWorkers: 2,
          sequence: { groupOrder: 1 },
        },
      },
      {
        test: {
          name: 'clients',
          include: ['test/clients/**/*.test.ts'],
          // One service for all of them, which some fill to its last place: one file after the other.
          globalSetup: './test/clients/start-service.ts',
          setupFiles: ['./test/support/described-traffic.ts'],
          maxWorkers: 1,
          testTimeout: 60_000,
          hookTimeout: 120_000,
          expect: PATIENT,
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
});
