/** Small requests that are dear to read, to tokenize or to refuse, where nothing bounds that. */
import { gzipSync } from 'node:zlib';

export type HostileBody = { path: string; headers: Record<string, string>; body: Buffer };

/** Marks above and below a letter, in the order that has to be sorted most. */
const marks = (count: number) => '\u0301'.repeat(count / 2) + '\u0316'.repeat(count / 2);
const MODEL = 'blip2-scenes';
const GZIP = { 'content-encoding': 'gzip' };
/** Nobody has sent it. */
const IMAGE = '0'.repeat(64);

/** Requests for those who wait for nothing but the isolate. */
export const HOSTILE_TEXTS: readonly HostileBody[] = [
  json('/v1/embeddings', { input: Array.from({ length: 120 }, () => `a${marks(4080)}`) }),
  json('/v1/match', {
    image: { sha256: IMAGE },
    texts: Array.from({ length: 64 }, () => `a${marks(4080)}`),
  }),
  json('/v1/responses', {
    truncation: 'auto',
    input: Array.from({ length: 255 }, (_, i) => ({
      role: i % 2 === 0 ? 'user' : 'assistant',
      content: i === 0 ? [{ type: 'input_image', image_url: IMAGE }] : '\u0301q'.repeat(15),
    })),
  }),
  json('/v1/chat/completions', {
    messages: Array.from({ length: 250 }, () => ({
      role: 'user',
      content: Array.from({ length: 12 }, () => ({ type: 'unknown', url: 1 })),
    })),
  }),
  json(
    '/v1/captions',
    Object.fromEntries(Array.from({ length: 9000 }, (_, i) => [`${i}`.padStart(90, 'x'), 1])),
  ),
  json('/v1/responses', {
    input: Array.from({ length: 256 }, (_, i) => ({ type: 'item_reference', id: `msg_${i}` })),
  }),
  {
    path: '/v1/captions',
    headers: { 'content-type': 'multipart/form-data; boundary=b', ...GZIP },
    body: gzipSync(`--b\r\n${'a: b\r\n'.repeat(3900)}\r\n--b--\r\n`),
  },
  ...['image/png', 'text/plain'].map((type) => ({
    path: '/v1/captions',
    headers: { 'content-type': type },
    body: Buffer.from(`${'<!---->'.repeat(140)}x`),
  })),
  {
    path: '/v1/answers',
    headers: { 'content-type': 'application/x-www-form-urlencoded', ...GZIP },
    body: gzipSync(`image=x&question=q${`&history[]=${badNames()}`.repeat(94)}`),
  },
];

/** A name with an escape that is none, before colons each of which might be its own. */
function badNames(): string {
  return `{"\\x${'a'.repeat(1000)}"${':'.repeat(9990)}}`;
}

/** A few bytes that claim to be much to parse, and are nothing. */
export const HOSTILE_CLAIMS: readonly HostileBody[] = ['', '{'].map((begin) => ({
  path: '/v1/captions',
  headers: { 'content-type': 'application/json', ...GZIP },
  body: gzipSync(begin + ','.repeat(9999)),
}));

/** 103 bytes that are dear to inflate and to parse together, and just cheap by themselves. */
export const HOSTILE_FLOOD: HostileBody = json('/v1/chat/completions', {
  messages: [{ role: 'user', content: Array.from({ length: 4850 }, () => ({})) }],
});

function json(path: string, body: object): HostileBody {
  const headers = { 'content-type': 'application/json', ...GZIP };
  return { path, headers, body: gzipSync(JSON.stringify({ model: MODEL, ...body })) };
}
