/** Puts the items of a part that need a GPU into the queue: those that are in no message, and those whose message may be lost. */
import { revisionFor } from '@blip2/shared/served-models';
import type { Dependencies } from '../dependencies.ts';
import { logWarning } from '../log.ts';
import type { BatchLine, PartOrder } from './contract.ts';
import { isSuspect } from './item-given-up.ts';
import { messageOf } from './message.ts';
import type { WaitingItem } from './open-items.ts';
import type { PartTable } from './part-table.ts';
import { ownerOf } from './perform-commit.ts';
import type { JobQueue } from './queue.ts';
import type { Rehearser } from './rehearsal.ts';
import { inTurn } from './rehearsal-turn.ts';
import { isPassing, repliedItem } from './results.ts';

export type SenderParts = {
  table: PartTable;
  deps: Dependencies;
  rehearser: Rehearser;
  queue: JobQueue;
};

/**
 * @property sent whether the queue has all that it should have
 * @property hasEnded whether items have ended without a GPU
 */
export type Sending = { sent: 'all' | 'some'; hasEnded: boolean };

export class PartSender {
  readonly #parts: SenderParts;
  readonly #table: PartTable;
  #hasEnded = false;

  constructor(parts: SenderParts) {
    this.#parts = parts;
    this.#table = parts.table;
  }

  /** @param resendMs milliseconds after which what was sent and has not come back may be lost */
  async send(resendMs: number): Promise<Sending> {
    this.#hasEnded = false;
    const isSent = await this.#send(resendMs);
    return { sent: isSent ? 'all' : 'some', hasEnded: this.#hasEnded };
  }

  async #send(resendMs: number): Promise<boolean> {
    const now = Date.now();
    let isSent = true;
    for (let from = 0; ; ) {
      const { state } = this.#table;
      if (state === null || state.isClosed || state.ending !== null) return true;
      const { items, isCut } = this.#table.unsent(from, now, resendMs);
      const last = items.at(-1);
      if (last === undefined) return isSent;
      const sent = await this.#sendSome(state.order, items);
      if (sent === 'failed') return false;
      if (sent === 'later') isSent = false;
      if (!isCut) return isSent;
      from = last.item + 1;
    }
  }

  /** @returns `later` where some have to wait for something outside; `failed` where the queue has not taken all */
  async #sendSome(
    order: PartOrder,
    unsent: readonly WaitingItem[],
  ): Promise<'sent' | 'later' | 'failed'> {
    const { deps, queue } = this.#parts;
    const items: WaitingItem[] = [];
    let isDelayed = false;
    for (const item of unsent) {
      const current = await this.#renewed(order, item);
      if (current === 'later') isDelayed = true;
      else if (current !== null) items.push(current);
    }
    const messages = await Promise.all(items.map((item) => messageOf(deps, order, item)));
    const { client: group, traceparent } = order;
    const { sent, error } = await queue.send(
      messages.map((message, index) => ({
        ...{ body: JSON.stringify(message), group, traceparent },
        isSuspect: isSuspect(items[index] as WaitingItem),
      })),
    );
    if (this.#table.state?.isClosed !== false) return 'sent';
    const tried = items.map(({ item }) => item);
    this.#table.markSent(tried, sent, Date.now());
    if (error === undefined) return isDelayed ? 'later' : 'sent';
    const request_id = `job-${order.job.slice(0, 32)}-${order.part}`;
    logWarning('job-queue-failure', {
      request_id,
      sent: sent.filter(Boolean).length,
      of: items.length,
      error,
    });
    return 'failed';
  }

  /** An item as the model that is served now needs it; null where it has ended so. */
  async #renewed(order: PartOrder, waiting: WaitingItem): Promise<WaitingItem | 'later' | null> {
    const { deps, rehearser } = this.#parts;
    const { item, work } = waiting;
    if (work.revision === revisionFor(deps.models, work.task)) return waiting;
    const open = this.#table.openItem(item);
    if (open === null) return null;
    const line = JSON.parse(open.line) as BatchLine;
    const rehearsed = await inTurn(order.owner, open.line.length, async () => {
      const value = await rehearser.rehearse(line, ownerOf(order, item));
      const isReply = value.kind === 'reply';
      return { value, characters: isReply && 'text' in value.reply ? value.reply.text.length : 0 };
    });
    if (rehearsed.kind === 'work') {
      this.#table.open.replaceWork(item, rehearsed.work);
      return { ...waiting, work: rehearsed.work };
    }
    if (isPassing(rehearsed.reply.status)) {
      this.#table.open.markUnsent(item);
      return 'later';
    }
    this.#table.end([repliedItem({ part: order.part, item }, line, rehearsed.reply)]);
    this.#hasEnded = true;
    return null;
  }
}
