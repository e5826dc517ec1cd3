/** For tests: a server of SQS, whose queue the edge sends to. */
import { startFauxqs } from 'fauxqs';
import type { TestProject } from 'vitest/node';

declare module 'vitest' {
  interface ProvidedContext {
    queueUrl: string;
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const server = await startFauxqs({ port: 0, logger: false });
  const { queueUrl } = server.createQueue('jobs', { attributes: { VisibilityTimeout: '1' } });
  const { pathname } = new URL(queueUrl);
  project.provide('queueUrl', `http://127.0.0.1:${server.port}${pathname}`);
  return async () => await server.stop();
}
