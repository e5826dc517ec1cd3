/** Requests with one `Idempotency-Key` of which the first never came whole. */
import { beforeEach, expect, it } from 'vitest';
import { newImage, startEdge, type TestEdge, testEnv } from '../testing/edge.ts';
import { generative } from '../testing/models.ts';
import type { IdempotentReplies, Run } from './idempotent-replies.ts';

const namespace = testEnv.IDEMPOTENCY as DurableObjectNamespace<IdempotentReplies>;

const NOBODY: Run = {
  execute: async () => {},
  executedDigest: async () => null,
  digest: async () => null,
  isGone: async () => false,
};

let edge: TestEdge;
/** Resolve when the first, the second, the third call has reached its object. */
let calls: PromiseWithResolvers<void>[];
beforeEach(() => {
  calls = Array.from({ length: 3 }, () => Promise.withResolvers());
  let asked = 0;
  const counting = {
    idFromName: (name: string) => namespace.idFromName(name),
    get: (id: DurableObjectId) => {
      const object = namespace.get(id);
      const run: IdempotentReplies['run'] = (...call) => {
        const outcome = object.run(...call);
        const { resolve } = calls[asked++] ?? {};
        // Calls arrive in their order.
        const behind = object.run(
          crypto.randomUUID(),
          '',
          { ...NOBODY, execute: async () => resolve?.() },
          0,
        );
        behind.catch(() => {});
        return outcome as never;
      };
      return { run };
    },
  };
  edge = startEdge({ env: { IDEMPOTENCY: counting as never, CLIENT_ADDRESS_HEADER: 'none' } });
});

const isReplayed = ({ headers }: Response) => headers.get('idempotent-replayed') === 'true';

type Sent = { body: Uint8Array<ArrayBuffer>; type: string };

const text = (type: string, value: string): Sent => ({
  type,
  body: new TextEncoder().encode(value) as Uint8Array<ArrayBuffer>,
});
const json = (value: object) => text('application/json', JSON.stringify(value));

async function fileForm(): Promise<Sent> {
  const form = new FormData();
  form.set('purpose', 'batch');
  form.set('file', new File(['{"custom_id":"1"}\n'], 'lines.jsonl'));
  const request = new Request('http://edge.test', { method: 'POST', body: form });
  const type = request.headers.get('content-type') ?? '';
  return { type, body: new Uint8Array(await request.arrayBuffer()) };
}

const image = (): Sent => ({ type: 'image/png', body: newImage() });
const chat = () =>
  json({ model: generative.name, messages: [{ role: 'user', content: crypto.randomUUID() }] });
const item = { image: { url: 'https://images.example.org/a.png' } };

/** By path: how a request is made, and the status of its reply. */
const ROUTES: [string, () => Sent | Promise<Sent>, number][] = [
  ['/v1/captions', image, 200],
  ['/v1/chat/completions', chat, 200],
  ['/v1/jobs', () => json({ task: 'caption', items: [item] }), 202],
  ['/v1/jobs?task=caption', () => text('application/x-ndjson', `${JSON.stringify(item)}\n`), 202],
  ['/v1/files', fileForm, 200],
];

/** A request of whose body a half has been read, and the rest of it. */
async function sendHalf(path: string, { body }: Sent, headers: Record<string, string>) {
  const isRead = Promise.withResolvers<void>();
  const rest = Promise.withResolvers<ReadableStreamDefaultController<Uint8Array>>();
  const half = new ReadableStream<Uint8Array>({
    start(controller) {
      controller.enqueue(body.slice(0, body.length / 2));
      rest.resolve(controller);
    },
    // What there was is with whoever reads it.
    pull: () => isRead.resolve(),
  });
  const reply = edge.request(path, { method: 'POST', headers, body: half });
  await isRead.promise;
  return { reply, rest: await rest.promise };
}

it.each(ROUTES)('the next one at %s runs where the body of the first breaks off', async (...of) => {
  const [path, make, status] = of;
  const sent = await make();
  const headers = { 'content-type': sent.type, 'idempotency-key': crypto.randomUUID() };
  const first = await sendHalf(path, sent, headers);
  const whole = () => edge.request(path, { method: 'POST', headers, body: sent.body });
  const waiting = [whole(), whole()];
  await calls[2]?.promise;
  first.rest.error(new Error('Network connection lost.'));
  const broken = await first.reply;
  expect(broken.status).toBe(400);
  expect(await broken.text()).toContain('connection ended before the whole body had come');
  const replies = await Promise.all(waiting);
  expect(replies.map((reply) => reply.status)).toEqual([status, status]);
  expect(replies.map(isReplayed).sort()).toEqual([false, true]);
  const texts = await Promise.all(replies.map((reply) => reply.text()));
  expect(texts[0]).toBe(texts[1]);
  const later = await whole();
  expect([later.status, isReplayed(later)]).toEqual([status, true]);
  expect(await later.text()).toBe(texts[0]);
});

it('the next one runs where the first was refused before its body was read', async () => {
  const key = { 'content-type': 'image/png', 'idempotency-key': crypto.randomUUID() };
  const { body } = image();
  const first = await sendHalf('/v1/captions', image(), key);
  const second = edge.request('/v1/captions', { method: 'POST', headers: key, body });
  await calls[1]?.promise;
  first.rest.enqueue(new Uint8Array(300_000));
  expect((await first.reply).status).toBe(413);
  expect((await second).status).toBe(200);
});

it('what a refused one still sends is read before it has its reply', async () => {
  let pieces = 0;
  const body = new ReadableStream<Uint8Array>(
    {
      pull(controller) {
        if (++pieces === 4) controller.close();
        else controller.enqueue(new Uint8Array(2 ** 16));
      },
    },
    { highWaterMark: 0 },
  );
  const headers = {
    'content-type': 'image/tape',
    'content-encoding': 'unknown',
    'idempotency-key': crypto.randomUUID(),
  };
  const refused = await edge.request('/v1/captions', { method: 'POST', headers, body });
  expect([refused.status, pieces]).toEqual([415, 4]);
});
