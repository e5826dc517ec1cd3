/** A queue of SQS: messages that are this worker's for a while, until they are deleted or given to others. */
import {
  type BatchResultErrorEntry,
  ChangeMessageVisibilityBatchCommand,
  DeleteMessageBatchCommand,
  type Message,
  ReceiveMessageCommand,
  SQSClient,
} from '@aws-sdk/client-sqs';
import { SUSPECT_ATTRIBUTE } from '@blip2/shared/jobs/message';
import { TRACEPARENT_HEADER } from '@blip2/shared/traceparent';
import type { JobsConfig } from '../job-options.ts';
import type { Logger } from '../logger.ts';

/** As many messages as SQS takes in one call. */
export const MAX_BATCH = 10;
/** Calls about many messages, whose results come together. */
const CALLS_AT_A_TIME = 5;
const POLL_S = 20;
const CONNECTION_MS = 5000;
/** Longer than the longest poll. */
const REQUEST_MS = 30_000;

/**
 * A message that was received. `receives` counts how often, this time included; `isSuspect`: its item may be what ends workers, as
 * whoever sent it knows; `traceparent` is of who caused it.
 */
export type Received = {
  body: string;
  handle: string;
  receives: number;
  isSuspect: boolean;
  traceparent?: string;
};

export function createSqsClient({ endpoint, region }: JobsConfig): SQSClient {
  const requestHandler = {
    connectionTimeout: CONNECTION_MS,
    requestTimeout: REQUEST_MS,
    throwOnRequestTimeout: true,
  };
  return new SQSClient({ region, requestHandler, ...(endpoint !== undefined && { endpoint }) });
}

export class Queue {
  readonly #client: SQSClient;
  readonly #url: string;
  readonly #visibilityS: number;
  readonly #log: Logger;

  /** @param visibilityS for how long a message that was received is nobody else's */
  constructor(client: SQSClient, url: string, visibilityS: number, log: Logger) {
    this.#client = client;
    this.#url = url;
    this.#visibilityS = visibilityS;
    this.#log = log;
  }

  /**
   * Messages, which nobody else gets for a while.
   * @param mayWait whether for as long as 20 s where there are none, else for 1 s
   */
  async receive(
    most: number,
    { mayWait, signal }: { mayWait: boolean; signal: AbortSignal },
  ): Promise<Received[]> {
    const command = new ReceiveMessageCommand({
      QueueUrl: this.#url,
      MaxNumberOfMessages: Math.min(MAX_BATCH, most),
      WaitTimeSeconds: mayWait ? POLL_S : 1,
      VisibilityTimeout: this.#visibilityS,
      MessageSystemAttributeNames: ['ApproximateReceiveCount'],
      MessageAttributeNames: [TRACEPARENT_HEADER, SUSPECT_ATTRIBUTE],
    });
    const { Messages = [] } = await this.#client.send(command, { abortSignal: signal });
    return Messages.flatMap(received);
  }

  /** Never rejects: a message that was not deleted comes again, and its result is a duplicate. */
  async delete(messages: readonly Received[]): Promise<void> {
    await this.#inBatches('not-deleted', messages, (Entries) =>
      this.#client.send(new DeleteMessageBatchCommand({ QueueUrl: this.#url, Entries })),
    );
  }

  /** Makes messages this worker's for as long again. Never rejects. */
  async extend(messages: readonly Received[]): Promise<void> {
    await this.hide(messages, this.#visibilityS);
  }

  /** Gives messages to whoever asks after so many seconds. Never rejects: without it they come back later. */
  async hide(messages: readonly Received[], seconds: number): Promise<void> {
    await this.#inBatches('visibility-not-changed', messages, (ids) => {
      const Entries = ids.map((entry) => ({ ...entry, VisibilityTimeout: seconds }));
      const command = new ChangeMessageVisibilityBatchCommand({ QueueUrl: this.#url, Entries });
      return this.#client.send(command);
    });
  }

  async #inBatches(
    event: string,
    messages: readonly Received[],
    send: (entries: Entry[]) => Promise<{ Failed?: BatchResultErrorEntry[] | undefined }>,
  ): Promise<void> {
    const starts = Array.from(
      { length: Math.ceil(messages.length / MAX_BATCH) },
      (_, i) => i * MAX_BATCH,
    );
    const sender = async () => {
      for (let at = starts.shift(); at !== undefined; at = starts.shift()) {
        const batch = messages.slice(at, at + MAX_BATCH);
        const entries = batch.map(({ handle }, i) => ({ Id: String(i), ReceiptHandle: handle }));
        await this.#sendAll(event, entries, send).catch((error) =>
          this.#log.warn(event, { error }),
        );
      }
    };
    await Promise.all(Array.from({ length: CALLS_AT_A_TIME }, sender));
  }

  /** A call may succeed for some of its entries only: where it was the queue's fault, the others are sent once more. */
  async #sendAll(
    event: string,
    entries: Entry[],
    send: (entries: Entry[]) => Promise<{ Failed?: BatchResultErrorEntry[] | undefined }>,
    mayRepeat = true,
  ): Promise<void> {
    const { Failed = [] } = await send(entries);
    const [own, queues] = [true, false].map((isOurs) =>
      Failed.filter(({ SenderFault = false }) => SenderFault === isOurs),
    ) as [BatchResultErrorEntry[], BatchResultErrorEntry[]];
    // Of a message that is no longer ours: nothing to worry about.
    if (own.length > 0) this.#log.debug(event, { codes: codesOf(own) });
    if (queues.length === 0) return;
    if (!mayRepeat) return this.#log.warn(event, { codes: codesOf(queues) });
    const ids = new Set(queues.map(({ Id }) => Id));
    const left = entries.filter(({ Id }) => ids.has(Id));
    await this.#sendAll(event, left, send, false);
  }
}

type Entry = { Id: string; ReceiptHandle: string };

function codesOf(failed: readonly BatchResultErrorEntry[]): string {
  return failed.map(({ Code = 'unknown' }) => Code).join(', ');
}

function received(message: Message): Received[] {
  const { Body: body = '', ReceiptHandle: handle, Attributes, MessageAttributes } = message;
  if (handle === undefined) return [];
  const receives = Math.max(1, Number(Attributes?.ApproximateReceiveCount ?? 1));
  const traceparent = MessageAttributes?.[TRACEPARENT_HEADER]?.StringValue;
  const isSuspect = MessageAttributes?.[SUSPECT_ATTRIBUTE] !== undefined;
  return [{ body, handle, receives, isSuspect, ...(traceparent !== undefined && { traceparent }) }];
}
