import { expect, it, vi } from 'vitest';
import { AddressedPage } from './addressed-page.ts';

const parts = ['<p>', 'ü'.repeat(50_000), 'a'.repeat(200_000), '</p>'];
const page = () => new AddressedPage(parts.join('{{here}}'), '{{here}}', 'tag');
const others = { 'content-type': 'text/html' };
const caller = (origin: string, now = 0, init: RequestInit = {}) => ({
  ...{ origin, now, sending: () => ({ stalledMs: 30_000 }) },
  bodyOf: async (bytes: Uint8Array<ArrayBuffer>) => bytes,
  request: new Request(origin, init),
});

/** How many texts a page made of itself. */
function countTexts() {
  const replaced = vi.spyOn(String.prototype, 'replaceAll');
  return () => {
    const { length } = replaced.mock.calls.filter(([what]) => what === '{{here}}');
    replaced.mockRestore();
    return length;
  };
}

it('has the address of whoever asks, prepared or not', async () => {
  const some = page();
  const origins = ['https://a.test', 'https://b.test', `https://${'c'.repeat(200)}.test`];
  for (const origin of origins) {
    const reply = await some.reply(caller(origin), others);
    expect(Object.fromEntries(reply.headers)).toMatchObject({
      etag: `"tag-${origin}"`,
      'cache-control': 'public, max-age=300',
      vary: 'accept-encoding',
    });
    expect(await reply.text()).toBe(parts.join(origin));
  }
});

it('makes no text of itself for ever other addresses', async () => {
  const some = page();
  const texts = countTexts();
  for (let index = 0; index < 20; index++) {
    const reply = await some.reply(caller(`https://a${index}.test`, 100 * index), others);
    await reply.body?.cancel();
  }
  expect(texts()).toBe(1);
});

it('hands pieces on while they are read', async () => {
  const some = page();
  await some.reply(caller('https://a.test'), others);
  const { body } = await some.reply(caller('https://b.test'), others);
  const lengths: number[] = [];
  for await (const piece of body ?? []) lengths.push(piece.length);
  expect(lengths.length).toBeGreaterThan(3);
  expect(Math.max(...lengths)).toBeLessThanOrEqual(2 ** 16);
});

it('stays prepared for the address that is asked for the most', async () => {
  const some = page();
  const gzip = { headers: { 'accept-encoding': 'gzip' } };
  for (let index = 0; index < 6; index++) {
    const now = 10_000 * index;
    const often = await some.reply(caller('https://often.test', now, gzip), others);
    expect(often.headers.get('content-encoding')).toBe('gzip');
    await (await some.reply(caller(`https://a${index}.test`, now + 9999), others)).body?.cancel();
  }
});

it.each(['https://a.test', 'https://b.test'])(
  'is not sent again where it is the same: %s',
  async (origin) => {
    const some = page();
    await some.reply(caller('https://a.test'), others);
    const headers = { 'if-none-match': `"tag-${origin}"` };
    const reply = await some.reply(caller(origin, 0, { headers }), others);
    expect([reply.status, reply.headers.get('etag')]).toEqual([304, `"tag-${origin}"`]);
    const head = await some.reply(caller(origin, 0, { method: 'HEAD' }), others);
    expect([head.status, head.headers.get('content-type')]).toEqual([200, 'text/html']);
  },
);
