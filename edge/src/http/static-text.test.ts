import zlib from 'node:zlib';
import { describe, expect, it, vi } from 'vitest';
import { StaticText } from './static-text.ts';

const TEXT = 'the same for all '.repeat(1000);
const ask = (text: StaticText, headers: Record<string, string> = {}) =>
  text.reply(new Headers(headers), { 'content-type': 'text/plain' }, async (bytes) => bytes);

describe('a text that is the same for all', () => {
  it.each([
    ['gzip', 'gzip'],
    ['gzip, deflate, br, zstd', 'gzip'],
    ['br;q=1, GZIP;q=0.5', 'gzip'],
    ['*', 'gzip'],
    ['identity, gzip;q=0.5', null],
    ['gzip;q=0', null],
    ['br', null],
    ['', null],
  ])('comes to who takes %j as %s', async (accepted, coding) => {
    const reply = await ask(new StaticText(TEXT, 'a'), { 'accept-encoding': accepted });
    expect(reply.headers.get('content-encoding')).toBe(coding);
    expect(reply.headers.get('vary')).toBe('accept-encoding');
    expect(reply.headers.get('etag')).toBe(coding === null ? '"a"' : '"a-gzip"');
    const bytes = new Uint8Array(await reply.arrayBuffer());
    const plain = coding === null ? bytes : zlib.gunzipSync(bytes);
    expect(new TextDecoder().decode(plain)).toBe(TEXT);
  });

  it('is compressed once', async () => {
    const packing = vi.spyOn(zlib, 'gzipSync');
    try {
      const text = new StaticText(TEXT, 'a');
      const gzip = { 'accept-encoding': 'gzip' };
      for (let n = 0; n < 3; n++) await (await ask(text, gzip)).arrayBuffer();
      expect(packing).toHaveBeenCalledTimes(1);
    } finally {
      packing.mockRestore();
    }
  });

  it('is not sent again in a coding that the client has', async () => {
    const text = new StaticText(TEXT, 'a');
    const statusOf = async (tag: string, accepted: string) =>
      (await ask(text, { 'accept-encoding': accepted, 'if-none-match': tag })).status;
    expect(await statusOf('"a"', 'br')).toBe(304);
    expect(await statusOf('"a-gzip"', 'gzip')).toBe(304);
    expect(await statusOf('"a"', 'gzip')).toBe(200);
  });
});
