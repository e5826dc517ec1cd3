/** The queue of jobs on this machine: a server of SQS in this process, for its own edge and GPU worker alone. */
import { randomBytes } from 'node:crypto';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { mkdir } from 'node:fs/promises';
import type { FauxqsServer } from 'fauxqs';
import { withoutSyncs } from './without-syncs.ts';

const LOOPBACK = '127.0.0.1';
const REGION = 'us-east-1';
const QUEUE = 'jobs';
const DEAD_LETTERS = 'jobs-dead-letters';
/** How often an item may come back before it is given up. */
export const MAX_RECEIVES = 12;

export type JobQueue = {
  /** Variables of the edge that sends to it. */
  vars: Record<string, string>;
  /** Environment of the GPU worker that receives from it. */
  workerEnv: Record<string, string>;
  /** Ends the server, and starts another in its place, with what its folder holds. */
  restart: () => Promise<void>;
  stop: () => Promise<void>;
};

export type JobQueueOptions = {
  /** Base URL by which the GPU worker reaches the edge. */
  edgeUrl: string;
  /** Where messages outlast a stop; false has them in memory. */
  folder: string | false;
  /** How often an item may come back before it is given up. */
  maxReceives?: number;
};

/**
 * Starts the queue, and another one for what came back from it too often.
 * @throws Error when the server cannot start, or its folder cannot be read
 */
export async function startJobQueue({
  edgeUrl,
  folder,
  maxReceives = MAX_RECEIVES,
}: JobQueueOptions): Promise<JobQueue> {
  // Messages say what images show: neither other users of this machine nor web pages open in a browser may have them.
  const keyId = secret();
  let server = await startWithQueues({ keyId, folder, port: 0, maxReceives });
  const { port } = server;
  const endpoint = `http://${LOOPBACK}:${port}`;
  const urlOf = (queue: string) => `${endpoint}/000000000000/${queue}`;
  const credentials = { AWS_ACCESS_KEY_ID: keyId, AWS_SECRET_ACCESS_KEY: secret() };
  const shared = secret();
  return {
    vars: {
      JOBS_QUEUE_URL: urlOf(QUEUE),
      JOBS_QUEUE_ENDPOINT: endpoint,
      JOBS_REGION: REGION,
      JOBS_SECRET: shared,
      ...credentials,
    },
    workerEnv: {
      BLIP2_JOBS_QUEUE_URL: urlOf(QUEUE),
      BLIP2_JOBS_DEAD_LETTER_URL: urlOf(DEAD_LETTERS),
      BLIP2_JOBS_ENDPOINT: endpoint,
      BLIP2_JOBS_REGION: REGION,
      BLIP2_JOBS_EDGE_URL: edgeUrl,
      BLIP2_JOBS_SECRET: shared,
      ...credentials,
    },
    restart: async () => {
      await server.stop();
      server = await startWithQueues({ keyId, folder, port, maxReceives });
    },
    stop: () => server.stop(),
  };
}

type ServerOptions = { keyId: string; folder: string | false; port: number; maxReceives: number };

async function startWithQueues(options: ServerOptions): Promise<FauxqsServer> {
  const server = await startGuarded(options);
  try {
    const deadLetterArn = queueOf(server, DEAD_LETTERS, {});
    queueOf(server, QUEUE, {
      RedrivePolicy: JSON.stringify({
        deadLetterTargetArn: deadLetterArn,
        maxReceiveCount: options.maxReceives,
      }),
    });
    return server;
  } catch (error) {
    await server.stop();
    throw error;
  }
}

/** The server would listen to the whole network and let in everybody: both are changed in what it is made of, as it is created. */
async function startGuarded({
  keyId,
  folder,
  port,
}: Omit<ServerOptions, 'maxReceives'>): Promise<FauxqsServer> {
  if (folder !== false) await mkdir(folder, { recursive: true });
  const { startFauxqs } = await import('fauxqs');
  let isGuarded = false;
  const guard = (message: unknown) => {
    const { fastify } = message as { fastify: Fastify };
    const listen = fastify.listen.bind(fastify);
    fastify.listen = (options) => listen({ ...options, host: LOOPBACK });
    fastify.addHook('onRequest', async ({ headers }, reply) => {
      if (headers.authorization?.includes(`Credential=${keyId}/`)) return;
      await reply.code(403).send({ message: 'This queue is for one edge and one GPU worker.' });
    });
    isGuarded = true;
  };
  subscribe('fastify.initialization', guard);
  let starting: Promise<FauxqsServer>;
  try {
    // The server is created before this returns, and no other one meanwhile. Each message is three writes on its way: with the
    // disk waited for at each, that is all that the queue would do.
    starting = withoutSyncs(() =>
      startFauxqs({
        port,
        logger: false,
        defaultRegion: REGION,
        ...(folder !== false && { dataDir: folder }),
      }),
    );
  } finally {
    unsubscribe('fastify.initialization', guard);
  }
  const server = await starting;
  if (isGuarded) return server;
  await server.stop();
  throw new Error('the server of the queue cannot be closed to others');
}

/** What is used of the HTTP server within. */
type Fastify = {
  listen: (options: object) => Promise<string>;
  addHook: (
    name: 'onRequest',
    hook: (
      request: { headers: { authorization?: string } },
      reply: { code: (status: number) => { send: (body: object) => PromiseLike<unknown> } },
    ) => Promise<void>,
  ) => void;
};

/** Creates a queue where there is none: one that is created again would lose its messages. @returns its ARN */
function queueOf(server: FauxqsServer, name: string, attributes: Record<string, string>): string {
  return server.inspectQueue(name)?.arn ?? server.createQueue(name, { attributes }).queueArn;
}

/** Of letters and digits, so that it may stand in a header. */
function secret(): string {
  return randomBytes(24).toString('hex');
}
