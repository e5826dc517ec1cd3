/** Sends messages to the queue of GPU workers: SQS, by signed requests of its JSON protocol. */
import { SUSPECT_ATTRIBUTE } from '@blip2/shared/jobs/message';
import { TRACEPARENT_HEADER } from '@blip2/shared/traceparent';
import { AwsClient } from 'aws4fetch';
import type { Config } from '../config.ts';
import { within } from '../within.ts';

/** As SQS has them: messages of one request, and their bytes together (1 MiB since 2025; older queues have a quarter). */
const MAX_BATCH = 10;
const MAX_BATCH_BYTES = 256 * 1024 - 8192;
/** Requests under way at a time: a Worker may have six connections. */
const AT_A_TIME = 4;
const TIMEOUT_MS = 10_000;

/**
 * The body of a message, and for whom it is: queues are fair between groups. The trace that it belongs to, and whether its item is to be
 * run alone, are no part of the body, so that GPU workers of before, who know no such member, read it too.
 */
export type QueuedMessage = {
  body: string;
  group: string;
  traceparent?: string | undefined;
  isSuspect?: boolean;
};

/** Whether one message fits into the queue at all. */
export function fitsQueue(body: string): boolean {
  return new TextEncoder().encode(body).length <= MAX_BATCH_BYTES;
}

export type QueueOptions = {
  /** Of the platform: whoever tests it without one has another. */
  fetch: (url: string, init: RequestInit) => Promise<Response>;
  config: Pick<
    Config,
    'jobsQueueUrl' | 'jobsQueueEndpoint' | 'jobsRegion' | 'awsAccessKeyId' | 'awsSecretAccessKey'
  >;
};

export class JobQueue {
  readonly #options: QueueOptions;
  readonly #aws: AwsClient;

  constructor(options: QueueOptions) {
    const { config } = options;
    this.#options = options;
    this.#aws = new AwsClient({
      accessKeyId: config.awsAccessKeyId ?? '',
      secretAccessKey: config.awsSecretAccessKey ?? '',
      region: config.jobsRegion,
      service: 'sqs',
      // Those that fail have their turn again with the next alarm.
      retries: 0,
    });
  }

  /**
   * Sends messages, however many. Never rejects.
   * @returns for each whether the queue has it for certain; the others may be there all the same
   */
  async send(messages: readonly QueuedMessage[]): Promise<{ sent: boolean[]; error?: string }> {
    const sent = messages.map(() => false);
    const batches = batchesOf(messages);
    let error: string | undefined;
    const sender = async () => {
      for (let batch = batches.pop(); batch !== undefined; batch = batches.pop()) {
        try {
          const taken = await this.#sendBatch(messages, batch);
          for (const index of taken) sent[index] = true;
          if (taken.length < batch.length) error = 'the queue refused some of a batch';
        } catch (thrown) {
          // The others would meet the same.
          error = String(thrown);
          batches.length = 0;
        }
      }
    };
    await Promise.all(Array.from({ length: AT_A_TIME }, sender));
    return error === undefined ? { sent } : { sent, error };
  }

  /** @returns indexes of those that the queue has taken */
  async #sendBatch(messages: readonly QueuedMessage[], batch: number[]): Promise<number[]> {
    const { config, fetch } = this.#options;
    const entries = batch.map((index) => entryOf(index, messages[index] as QueuedMessage));
    const request = await this.#aws.sign(endpointOf(config), {
      method: 'POST',
      headers: {
        'content-type': 'application/x-amz-json-1.0',
        'x-amz-target': 'AmazonSQS.SendMessageBatch',
      },
      body: JSON.stringify({ QueueUrl: config.jobsQueueUrl, Entries: entries }),
    });
    const init = {
      method: 'POST',
      headers: request.headers,
      body: await request.arrayBuffer(),
      signal: AbortSignal.timeout(TIMEOUT_MS),
    };
    const response = await within(TIMEOUT_MS, fetch(request.url, init), 'the queue');
    const text = await within(TIMEOUT_MS, response.text(), 'the reply of the queue');
    if (!response.ok) throw new Error(`status ${response.status}: ${text.slice(0, 300)}`);
    const taken = successfulOf(text);
    // Something else than a queue may say 200 too.
    if (taken === null) throw new Error(`no reply of a queue: ${text.slice(0, 300)}`);
    return batch.filter((index) => taken.has(String(index)));
  }
}

function entryOf(index: number, { body, group, traceparent, isSuspect = false }: QueuedMessage) {
  const attribute = (value: string) => ({ DataType: 'String', StringValue: value });
  const attributes = {
    ...(traceparent !== undefined && { [TRACEPARENT_HEADER]: attribute(traceparent) }),
    ...(isSuspect && { [SUSPECT_ATTRIBUTE]: attribute('true') }),
  };
  return {
    Id: String(index),
    MessageBody: body,
    MessageGroupId: groupOf(group),
    ...(Object.keys(attributes).length > 0 && { MessageAttributes: attributes }),
  };
}

/** The queue's URL may have a host that only its server knows; requests go to the root of the endpoint. */
function endpointOf({
  jobsQueueEndpoint,
  jobsQueueUrl,
}: Pick<Config, 'jobsQueueEndpoint' | 'jobsQueueUrl'>): string {
  return `${new URL(jobsQueueEndpoint ?? jobsQueueUrl ?? '').origin}/`;
}

/** Ids of the entries that were taken; null for what is no reply of a queue. */
function successfulOf(text: string): Set<string> | null {
  try {
    const { Successful, Failed } = JSON.parse(text) as Record<string, unknown>;
    if (!Array.isArray(Successful) && !Array.isArray(Failed)) return null;
    const taken = Array.isArray(Successful) ? Successful : [];
    return new Set(taken.map((entry: { Id?: unknown }) => String(entry.Id)));
  } catch {
    return null;
  }
}

/** Letters, digits and punctuation, 128 at most: an address of IPv6 has a slash and colons, which are fine. */
function groupOf(client: string): string {
  return client.replaceAll(/[^\w!"#$%&'()*+,\-./:;<=>?@[\\\]^`{|}~]/g, '_').slice(0, 128) || '_';
}

/** Indexes of messages that go in one request each. */
function batchesOf(messages: readonly QueuedMessage[]): number[][] {
  const encoder = new TextEncoder();
  const batches: number[][] = [];
  let bytes = 0;
  for (const [index, { body }] of messages.entries()) {
    const size = encoder.encode(body).length;
    const last = batches.at(-1);
    if (last === undefined || last.length === MAX_BATCH || bytes + size > MAX_BATCH_BYTES) {
      batches.push([index]);
      bytes = size;
    } else {
      last.push(index);
      bytes += size;
    }
  }
  return batches.reverse();
}
