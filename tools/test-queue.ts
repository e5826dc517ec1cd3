/** For tests: a server of SQS, whose queue the edge sends to. */

import type { TestProject } from 'vitest/node';

declare module 'vitest' {
  interface ProvidedContext {
    queueUrl: string;
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  // Left to Node: vitest looks for the source maps of what it loads itself, which this package lacks.
  const { startFauxqs } = await import(/* @vite-ignore */ 'fauxqs');
  const server = await startFauxqs({ port: 0, logger: false });
  const { queueUrl } = server.createQueue('jobs', { attributes: { VisibilityTimeout: '1' } });
  const { pathname } = new URL(queueUrl);
  project.provide('queueUrl', `http://127.0.0.1:${server.port}${pathname}`);
  return async () => await server.stop();
}
