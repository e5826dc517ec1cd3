import { runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { ApiError } from '@blip2/shared/errors';
import { Webhook as Verifier } from 'standardwebhooks';
import { describe, expect, it } from 'vitest';
import { HostFailure } from '../../image/host-failure.ts';
import type { JobWebhook } from '../contract.ts';
import { WebhookOutbox } from './webhook-outbox.ts';
import { checkWebhookUrl } from './webhook-url.ts';

const secret = (byte: number) => `whsec_${new Uint8Array(32).fill(byte).toBase64()}`;
const [first, second] = [secret(1), secret(2)];
const START = Date.now();
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

type Sent = { url: string; headers: Headers; body: string; redirect: string | undefined };

/** An outbox with a clock, in an object of its own, and a host that answers by its turn. */
async function withOutbox(
  change: Partial<JobWebhook>,
  replies: (number | Error | 'redirect')[],
  use: (outbox: WebhookOutbox, clock: { now: number }, sent: Sent[]) => Promise<void>,
): Promise<void> {
  const objects = (env as unknown as { JOB_INDEX: DurableObjectNamespace }).JOB_INDEX;
  await runInDurableObject(objects.get(objects.newUniqueId()), async (_, { storage }) => {
    const clock = { now: START };
    const sent: Sent[] = [];
    const outbox = new WebhookOutbox(storage.sql, {
      allowPrivate: false,
      userAgent: 'test',
      now: () => clock.now,
      fetch: async (url, { headers, body, redirect } = {}) => {
        sent.push({
          url: String(url),
          headers: new Headers(headers),
          body: String(body),
          redirect,
        });
        const reply = replies[sent.length - 1] ?? 200;
        if (reply instanceof Error) throw reply;
        if (reply !== 'redirect') return new Response(null, { status: reply });
        return new Response(null, { status: 302, headers: { location: 'http://10.0.0.1/' } });
      },
    });
    outbox.create({
      url: 'https://hooks.example.org/a',
      secrets: [first],
      events: ['job.completed', 'job.expired'],
      ...change,
    });
    await use(outbox, clock, sent);
    await storage.deleteAll();
  });
}

const OK = { status: 200, error: null, nextAt: null };

describe('an event', () => {
  it('is sent once, in the form and with the signature of Standard Webhooks', () =>
    withOutbox({}, [], async (outbox, _clock, sent) => {
      outbox.add('job.completed', 'job_1');
      outbox.add('job.completed', 'job_1');
      await outbox.deliver();
      await outbox.deliver();
      expect(sent).toHaveLength(1);
      const [{ url, headers, body } = {} as Sent] = sent;
      expect(url).toBe('https://hooks.example.org/a');
      expect(headers.get('content-type')).toBe('application/json');
      const event = new Verifier(first).verify(body, Object.fromEntries(headers));
      expect(event).toEqual({
        id: headers.get('webhook-id'),
        object: 'event',
        created_at: Math.floor(START / 1000),
        type: 'job.completed',
        data: { id: 'job_1' },
      });
      expect(outbox.log()).toMatchObject([{ type: 'job.completed', attempt: 1, ...OK }]);
      expect(outbox.nextAt()).toBeNull();
    }));

  it('that nobody asked for is not sent', () =>
    withOutbox({}, [], async (outbox, _clock, sent) => {
      outbox.add('job.failed', 'job_1');
      expect(outbox.nextAt()).toBeNull();
      await outbox.deliver();
      expect(sent).toEqual([]);
    }));

  it('is signed by both secrets while one takes the place of the other', () =>
    withOutbox({ secrets: [second, first] }, [], async (outbox, _clock, sent) => {
      outbox.add('job.completed', 'job_1');
      await outbox.deliver();
      const [{ headers, body } = {} as Sent] = sent;
      for (const one of [first, second]) {
        expect(new Verifier(one).verify(body, Object.fromEntries(headers))).toBeTruthy();
      }
      const wrong = () => new Verifier(secret(3)).verify(body, Object.fromEntries(headers));
      expect(wrong).toThrow();
    }));
});

describe('a try that fails', () => {
  it('is followed by others, later and later, and then by none', () =>
    withOutbox({}, Array(20).fill(500), async (outbox, clock, sent) => {
      outbox.add('job.completed', 'job_1');
      const waits: number[] = [];
      for (let next = outbox.nextAt(); next !== null; next = outbox.nextAt()) {
        waits.push(next - clock.now);
        clock.now = next;
        await outbox.deliver();
      }
      const expected = [0, 5000, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR];
      expect(waits).toEqual(expected);
      expect(sent).toHaveLength(7);
      expect(new Set(sent.map(({ headers }) => headers.get('webhook-id'))).size).toBe(1);
      expect(outbox.log().at(-1)).toMatchObject({ attempt: 7, status: 500, nextAt: null });
    }));

  it('without a reply is one, too, and the next may succeed', () =>
    withOutbox({}, [new Error('Network connection lost.'), 204], async (outbox, clock) => {
      outbox.add('job.completed', 'job_1');
      await outbox.deliver();
      clock.now += 5000;
      await outbox.deliver();
      expect(outbox.log()).toMatchObject([
        {
          attempt: 1,
          status: null,
          error: 'The host refused the connection, or closed it without a reply.',
          nextAt: START + 5000,
        },
        { attempt: 2, ...OK, status: 204 },
      ]);
    }));

  it.each([
    [new Error('internal error; reference = 0123456789abcdef'), /does not resolve/],
    [new HostFailure('no-address'), /does not resolve/],
    [new HostFailure('insecure'), /its certificate is not valid/],
    [new HostFailure('lost'), /refused the connection, or closed it/],
    [new DOMException('The operation was aborted due to timeout', 'TimeoutError'), /within 15 s/],
    [new TypeError('at /srv/worker.js:1'), /^The host could not be reached\.$/],
  ])('without a reply is explained in words of ours: %s', (error, words) =>
    withOutbox({}, [error], async (outbox) => {
      outbox.add('job.completed', 'job_1');
      await outbox.deliver();
      expect(outbox.log()).toMatchObject([{ status: null, error: expect.stringMatching(words) }]);
    }),
  );

  it('is one that redirects, where nothing is sent', () =>
    withOutbox({}, ['redirect'], async (outbox, _clock, sent) => {
      outbox.add('job.completed', 'job_1');
      await outbox.deliver();
      expect(sent).toHaveLength(1);
      expect(sent[0]?.redirect).toBe('manual');
      expect(outbox.log()).toMatchObject([
        { status: 302, error: expect.stringMatching('Redirect') },
      ]);
    }));

  it('is one whose address has become private, which is not called', () =>
    withOutbox({ url: 'http://169.254.169.254/' }, [], async (outbox, _clock, sent) => {
      outbox.add('job.completed', 'job_1');
      await outbox.deliver();
      expect(sent).toEqual([]);
      expect(outbox.log()).toMatchObject([
        { status: null, error: expect.stringMatching('public') },
      ]);
    }));

  it('with 410 is the last one, of all events', () =>
    withOutbox({}, [410], async (outbox, _clock, sent) => {
      outbox.add('job.completed', 'job_1');
      outbox.add('job.expired', 'job_1');
      await outbox.deliver();
      expect(outbox.nextAt()).toBeNull();
      outbox.add('job.completed', 'job_1');
      await outbox.deliver();
      expect(sent).toHaveLength(1);
      expect(outbox.log()).toMatchObject([{ status: 410, nextAt: null }]);
    }));
});

it.each([
  'http://127.0.0.1/',
  'http://localhost:8787/',
  'http://[::1]/',
  'http://0x7f000001/',
  'https://10.1.2.3/',
  'https://metadata.internal/',
  'ftp://example.org/',
  'https://user:secret@example.org/',
  'example.org/hook',
  `https://example.org/${'x'.repeat(3000)}`,
])('%s is no address of a webhook', (url) => {
  expect(() => checkWebhookUrl(url, { allowPrivate: false })).toThrow(ApiError);
});
