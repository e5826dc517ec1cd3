/** Jobs as tests run them: on real objects, a real bucket and a real queue, with a GPU worker that the test plays. */
import { SELF } from 'cloudflare:test';
import { ApiError } from '@blip2/shared/errors';
import { encodeEvent, type GpuEvent } from '@blip2/shared/gpu-events';
import {
  beginPath,
  type CommitReply,
  commitPath,
  type ItemOutcome,
  sourcePath,
} from '@blip2/shared/jobs/commit';
import { JobMessage, SUSPECT_ATTRIBUTE } from '@blip2/shared/jobs/message';
import { SIGNATURE_HEADER, sign } from '@blip2/shared/jobs/signature';
import { AwsClient } from 'aws4fetch';
import { vi } from 'vitest';
import type {
  JobObject,
  JobOrder,
  JobSnapshot,
  ResultLine,
  ResultQuery,
} from '../jobs/contract.ts';
import type { RunOutcome } from '../jobs/perform-commit.ts';
import { readResults } from '../jobs/read-results.ts';
import { isWanted, parsedLine } from '../jobs/stored-line.ts';
import { newId } from '../predictions/ids.ts';
import { testEnv } from './edge.ts';
import { EMBEDDINGS } from './fake-gpu.ts';
import { generative } from './models.ts';

const SECRET = String(testEnv.JOBS_SECRET);
const queueUrl = String(testEnv.JOBS_QUEUE_URL);
const aws = new AwsClient({
  accessKeyId: 'test',
  secretAccessKey: 'test',
  region: 'us-east-1',
  service: 'sqs',
});

export function bound<T>(binding: T | undefined): T {
  if (binding === undefined) throw new Error('not bound');
  return binding;
}

export const bucket = bound(testEnv.JOB_FILES);
const jobs = bound(testEnv.JOBS);
const parts = bound(testEnv.JOB_PARTS);

/** A job on lines of its own. */
export async function createJob(
  lines: readonly (string | object)[],
  change: Partial<JobOrder> = {},
): Promise<TestJob> {
  const owner = crypto.randomUUID().replaceAll('-', '').repeat(2);
  const object = jobs.newUniqueId();
  const id = newId(object);
  const key = `${owner}/files/${id}`;
  const texts = lines.map((line) => (typeof line === 'string' ? line : JSON.stringify(line)));
  await bucket.put(key, texts.join('\n'));
  const order = { ...orderOf(owner, key), client: `test ${id.slice(0, 8)}`, ...change };
  await (jobs.get(object) as unknown as JobObject).create(id, order, Date.now());
  return new TestJob(id, object);
}

const UNLIMITED: JobOrder['sender'] = {
  caller: {
    id: 'a key without limits',
    record: {
      name: 'test',
      scopes: [],
      created_at: 0,
      limits: {
        requests_per_minute: null,
        tokens_per_minute: null,
        images_per_day: null,
        open_streams: null,
      },
    },
    namespace: '',
  },
  address: '',
};

/** The order of a batch of captions. @param key of its file in the bucket */
export function orderOf(owner: string, key: string): JobOrder {
  return {
    kind: 'batch',
    owner,
    client: 'test',
    sender: UNLIMITED,
    namespace: '',
    input: { kind: 'file', key, form: 'batch' },
    url: '/v1/captions',
    settings: {},
    cacheEmbeddings: false,
    expiresAt: Date.now() + 3_600_000,
    metadata: {},
    origin: 'http://edge.test',
  };
}

export class TestJob {
  readonly id: string;
  readonly object: DurableObjectId;

  constructor(id: string, object: DurableObjectId) {
    this.id = id;
    this.object = object;
  }

  get stub() {
    return jobs.get(this.object);
  }

  part(part: number) {
    return parts.getByName(`${this.id}/${part}`);
  }

  async snapshot(): Promise<JobSnapshot> {
    const snapshot = await (this.stub as unknown as JobObject).snapshot(this.id);
    if (snapshot === null) throw new Error('there is no such job');
    return snapshot;
  }

  async cancel(): Promise<void> {
    await (this.stub as unknown as JobObject).cancel(this.id);
  }

  async until(...states: JobSnapshot['state'][]): Promise<JobSnapshot> {
    return await vi.waitFor(
      async () => {
        const snapshot = await this.snapshot();
        if (!states.includes(snapshot.state)) throw new Error(`still ${JSON.stringify(snapshot)}`);
        return snapshot;
      },
      { timeout: 30_000, interval: 20 },
    );
  }

  async results(query: Partial<ResultQuery> = {}): Promise<ResultLine[]> {
    const all: ResultQuery = { from: null, which: 'all', overGaps: false, ...query };
    const some = await Array.fromAsync(readResults({ parts, bucket }, await this.snapshot(), all));
    const lines = some.flatMap(({ lines }) => lines);
    return lines.filter((line) => isWanted(line, all.which)).map(parsedLine);
  }

  /** Messages of this job that are in the queue, each under the handle that deletes it; waits for the first. */
  async receive(waitSeconds = 10): Promise<Received[]> {
    const until = Date.now() + 1000 * waitSeconds;
    for (;;) {
      const own = (await receive(1)).filter(({ message }) => message.job === this.id);
      if (own.length > 0 || Date.now() > until) return own;
    }
  }

  /** Runs what is in the queue, until the job has ended. @param play how an item ends; null leaves it in the queue */
  async run(play: Play = caption): Promise<JobSnapshot> {
    for (;;) {
      const { state } = await this.snapshot();
      if (['completed', 'failed', 'cancelled', 'expired'].includes(state))
        return await this.snapshot();
      for (const { message, handle, isSuspect } of (await receive(1)).filter(
        (r) => r.message.job === this.id,
      )) {
        const outcome = await play(message, isSuspect);
        if (outcome === null) continue;
        await this.commit(message.part, [{ item: message.item, outcome }]);
        await remove(handle);
      }
    }
  }

  async commit(
    part: number,
    results: { item: number; outcome: ItemOutcome }[],
  ): Promise<CommitReply> {
    const response = await signed('POST', commitPath(this.id, part), { results });
    if (!response.ok) throw new Error(`${response.status}: ${await response.text()}`);
    return await response.json();
  }

  /** @returns whether a GPU worker may run it alone */
  async begin(part: number, item: number, attempt?: string): Promise<boolean> {
    const body = attempt === undefined ? undefined : { attempt };
    const { status } = await signed('POST', beginPath(this.id, part, item), body);
    if (status === 204 || status === 410) return status === 204;
    throw new Error(`status ${status}`);
  }

  async source(part: number, item: number): Promise<Response> {
    return await signed('GET', sourcePath(this.id, part, item));
  }
}

export type Received = { message: JobMessage; handle: string; isSuspect: boolean };
/** @param isSuspect whether the edge says that it is to be run alone */
export type Play = (
  message: JobMessage,
  isSuspect?: boolean,
) => ItemOutcome | null | Promise<ItemOutcome | null>;

/** The caption of an item that a worker has generated. */
export const caption: Play = ({ part, item }) => captioned(` item ${part}/${item}\n`);

export function captioned(text: string, sha256 = 'a'.repeat(64)): RunOutcome {
  const ids = generative.tokenizer().encode(text);
  return frames(
    [
      { type: 'imageInfo', image: { width: 4, height: 3, format: 'png' } },
      ...ids.map((id): GpuEvent => ({ type: 'tokens', choice: 0, tokens: [{ id }] })),
      {
        type: 'done',
        choices: [{ finish_reason: 'stop', completion_tokens: ids.length }],
        timings_ms: {},
      },
    ],
    sha256,
  );
}

export function withEmbeddings(text: string, _sha256: string): GpuEvent[] {
  const ids = generative.tokenizer().encode(text);
  return [
    { type: 'imageInfo', image: { width: 4, height: 3, format: 'png' } },
    { type: 'embeddings', embeddings: EMBEDDINGS },
    { type: 'tokens', choice: 0, tokens: ids.map((id) => ({ id })) },
    {
      type: 'done',
      choices: [{ finish_reason: 'stop', completion_tokens: ids.length }],
      timings_ms: {},
    },
  ];
}

export function frames(events: readonly GpuEvent[], sha256?: string): RunOutcome {
  const parts = events.map(encodeEvent);
  const bytes = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return { kind: 'frames', frames: bytes.toBase64(), ...(sha256 && { sha256 }) };
}

export function failed(
  slug: ConstructorParameters<typeof ApiError>[0],
  detail: string,
): RunOutcome {
  return { kind: 'failed', problem: new ApiError(slug, detail).toProblem() };
}

/** A request as a GPU worker signs it. */
export async function signed(method: string, path: string, value?: unknown): Promise<Response> {
  const text = value === undefined ? '' : JSON.stringify(value);
  const body = new Uint8Array(new TextEncoder().encode(text));
  const header = await sign(SECRET, { method, path, body }, Date.now());
  return await SELF.fetch(`http://edge.test${path}`, {
    method,
    headers: { [SIGNATURE_HEADER]: header, 'content-type': 'application/json' },
    ...(value !== undefined && { body }),
  });
}

type Message = {
  Body: string;
  ReceiptHandle: string;
  MessageAttributes?: Record<string, unknown>;
};

/** Messages of all jobs. */
async function receive(seconds: number): Promise<Received[]> {
  const reply = await ask('ReceiveMessage', {
    ...{ MaxNumberOfMessages: 10, WaitTimeSeconds: seconds },
    MessageAttributeNames: [SUSPECT_ATTRIBUTE],
  });
  const messages = (reply.Messages ?? []) as Message[];
  return messages.map(({ Body, ReceiptHandle, MessageAttributes = {} }) => ({
    isSuspect: SUSPECT_ATTRIBUTE in MessageAttributes,
    message: JobMessage.parse(JSON.parse(Body)),
    handle: ReceiptHandle,
  }));
}

export async function remove(handle: string): Promise<void> {
  await ask('DeleteMessage', { ReceiptHandle: handle });
}

async function ask(action: string, value: object): Promise<Record<string, unknown>> {
  const response = await aws.fetch(`${new URL(queueUrl).origin}/`, {
    method: 'POST',
    headers: {
      'content-type': 'application/x-amz-json-1.0',
      'x-amz-target': `AmazonSQS.${action}`,
    },
    body: JSON.stringify({ QueueUrl: queueUrl, ...value }),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(text);
  return text === '' ? {} : JSON.parse(text);
}
