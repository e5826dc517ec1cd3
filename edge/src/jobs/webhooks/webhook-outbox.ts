/**
 * What is still to be said to a job's webhook, in the SQLite of the job's object: each event once, tried until somebody
 * takes it, signed as Standard Webhooks has it. The object's alarm calls `deliver` when `nextAt` has come.
 */
import { ApiError } from '@blip2/shared/errors';
import { Webhook as Signer } from 'standardwebhooks';
import { isLost, isUnreached } from '../../image/connection-failure.ts';
import type { Platform } from '../../platform.ts';
import { randomHex } from '../../predictions/ids.ts';
import { TooSlowError, within } from '../../within.ts';
import type { JobWebhook, Outbox, WebhookDelivery } from '../contract.ts';
import { checkWebhookUrl } from './webhook-url.ts';

/** How long after each try that failed the next one is, milliseconds. */
const DELAYS_MS = [5_000, 300_000, 1_800_000, 7_200_000, 18_000_000, 36_000_000];
const TIMEOUT_MS = 15_000;
/** Says that there is nobody any more. */
const GONE = 410;

type Row = { id: string; type: string; body: string; attempt: number };

export type OutboxServices = Pick<Platform, 'fetch' | 'now'> & {
  allowPrivate: boolean;
  userAgent: string;
};

export class WebhookOutbox implements Outbox {
  readonly #sql: SqlStorage;
  readonly #services: OutboxServices;

  constructor(sql: SqlStorage, services: OutboxServices) {
    this.#sql = sql;
    this.#services = services;
  }

  /** @param webhook none: then no event is sent */
  create(webhook: JobWebhook | undefined): void {
    this.#sql.exec(
      'CREATE TABLE IF NOT EXISTS webhook (only INTEGER PRIMARY KEY CHECK (only = 1), record TEXT)',
    );
    this.#sql.exec(
      'CREATE TABLE IF NOT EXISTS outbox (type TEXT PRIMARY KEY, id TEXT, body TEXT, attempt INTEGER, next_at INTEGER)',
    );
    this.#sql.exec(
      'CREATE TABLE IF NOT EXISTS deliveries (number INTEGER PRIMARY KEY AUTOINCREMENT, record TEXT)',
    );
    if (webhook === undefined) return;
    this.#sql.exec('INSERT OR IGNORE INTO webhook VALUES (1, ?)', JSON.stringify(webhook));
  }

  /**
   * An event, which is due now. The same type again is the same event; one that nobody asked for is none.
   * @param id of the job or batch, as it is shown
   * @example outbox.add('batch.completed', 'batch_…')
   */
  add(type: string, id: string): void {
    if (!this.#webhook()?.events.includes(type)) return;
    const now = this.#services.now();
    const event = `evt_${randomHex()}`;
    const created_at = Math.floor(now / 1000);
    const body = JSON.stringify({ id: event, object: 'event', created_at, type, data: { id } });
    this.#sql.exec(
      'INSERT OR IGNORE INTO outbox VALUES (?, ?, ?, 0, ?)',
      ...[type, event, body, now],
    );
  }

  /** When the next try is due; null where there is none. */
  nextAt(): number | null {
    const sql = 'SELECT MIN(next_at) AS next FROM outbox';
    return this.#sql.exec<{ next: number | null }>(sql).one().next;
  }

  /** Tries what is due, and never throws what the other side does. */
  async deliver(): Promise<void> {
    const due = this.#sql
      .exec<Row>(
        'SELECT id, type, body, attempt FROM outbox WHERE next_at <= ? ORDER BY next_at',
        this.#services.now(),
      )
      .toArray();
    for (const row of due) {
      const webhook = this.#webhook();
      if (webhook !== null) await this.#try(webhook, row);
    }
  }

  /** All tries, in their order. */
  log(): WebhookDelivery[] {
    return this.#sql
      .exec<{ record: string }>('SELECT record FROM deliveries ORDER BY number')
      .toArray()
      .map(({ record }) => JSON.parse(record));
  }

  async #try(webhook: JobWebhook, { id, type, body, attempt: earlier }: Row): Promise<void> {
    const at = this.#services.now();
    const delay = DELAYS_MS[earlier];
    const nextAt = delay === undefined ? null : at + delay;
    // First: whatever happens now, it is one try more, and there is a next one.
    this.#sql.exec(
      'UPDATE outbox SET attempt = ?, next_at = ? WHERE type = ?',
      ...[earlier + 1, nextAt, type],
    );
    const { status, error } = await this.#send(webhook, { id, body, at });
    const isTaken = status !== null && status >= 200 && status < 300;
    const isOver = isTaken || status === GONE || nextAt === null;
    if (isOver) this.#sql.exec('UPDATE outbox SET next_at = NULL WHERE type = ?', type);
    // Nobody is there for the other events either.
    if (status === GONE) this.#sql.exec('UPDATE outbox SET next_at = NULL');
    if (status === GONE) this.#sql.exec('DELETE FROM webhook');
    const delivery: WebhookDelivery = {
      ...{ id, type, attempt: earlier + 1, at, status, error },
      nextAt: isOver ? null : nextAt,
    };
    this.#sql.exec('INSERT INTO deliveries (record) VALUES (?)', JSON.stringify(delivery));
  }

  async #send(
    { url, secrets }: JobWebhook,
    { id, body, at }: { id: string; body: string; at: number },
  ): Promise<Pick<WebhookDelivery, 'status' | 'error'>> {
    const { allowPrivate, fetch, userAgent } = this.#services;
    try {
      const target = checkWebhookUrl(url, { allowPrivate });
      const signatures = secrets.map((secret) => new Signer(secret).sign(id, new Date(at), body));
      const headers = {
        'content-type': 'application/json',
        'user-agent': userAgent,
        'webhook-id': id,
        'webhook-timestamp': String(Math.floor(at / 1000)),
        'webhook-signature': signatures.join(' '),
      };
      const signal = AbortSignal.timeout(TIMEOUT_MS);
      // What it redirects to was checked by nobody.
      const init = { method: 'POST', redirect: 'manual', headers, body, signal } as const;
      const { status, body: reply } = await within(TIMEOUT_MS, fetch(target, init), 'the webhook');
      // Not read: it may not end.
      reply?.cancel().catch(() => {});
      const isRedirect = status >= 300 && status < 400;
      return { status, error: isRedirect ? 'Redirects are not followed.' : null };
    } catch (thrown) {
      return { status: null, error: reasonOf(thrown) };
    }
  }

  #webhook(): JobWebhook | null {
    const [row] = this.#sql.exec<{ record: string }>('SELECT record FROM webhook').toArray();
    return row === undefined ? null : JSON.parse(row.record);
  }
}

/** For whoever owns the webhook: what can be said, in words of ours. */
function reasonOf(thrown: unknown): string {
  if (thrown instanceof ApiError) return thrown.message;
  const isLate = (thrown as Error | null)?.name === 'TimeoutError';
  if (isLate || thrown instanceof TooSlowError) return `No reply within ${TIMEOUT_MS / 1000} s.`;
  if (isLost(thrown)) return 'The host refused the connection, or closed it without a reply.';
  if (isUnreached(thrown)) {
    return 'The name of the host does not resolve to a public address, or its certificate is not valid.';
  }
  return 'The host could not be reached.';
}
