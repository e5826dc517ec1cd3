import { ApiError } from '@blip2/shared/errors';
import { AnswerRequest } from '@blip2/shared/schemas/answers';
import fc from 'fast-check';
import { afterEach, expect, it, vi } from 'vitest';
import { newImage, startEdge } from '../testing/edge.ts';
import { dearWork } from '../turns/dear-work.ts';
import { readImageOrJson, readJsonObject, readParts, readRequest } from './request-body.ts';

afterEach(() => void vi.restoreAllMocks());

/** What pieces of work claim, milliseconds: the most that a request comes to. */
function claimed(): { ms: number } {
  const most = { ms: 0 };
  vi.spyOn(dearWork, 'passes').mockImplementation((_, ms) => {
    most.ms = Math.max(most.ms, ms);
    return true;
  });
  return most;
}

const BYTES = 10_000_000;
const LIMITS = {
  ...{ maxImageBytes: BYTES, maxBodyBytes: BYTES, maxHeldBytes: 4 * BYTES },
  ...{ waitUntil: () => {}, client: 'reads as anything', deadlineMs: 5000 },
};
const FORM = { schema: AnswerRequest, check: (fields: Record<string, unknown>) => fields };

/** Each resolves with whether the body was taken for an image, or an address. */
const READERS: Record<string, (request: Request) => Promise<boolean>> = {
  request: async (request) => (await readRequest(request, LIMITS, FORM)).source?.kind === 'bytes',
  imageOrJson: async (request) => (await readImageOrJson(request, LIMITS)).kind === 'image',
  json: async (request) => (await readJsonObject(request, LIMITS)) === null,
  parts: async (request) => (await readParts(request, LIMITS)) === null,
};

const PREFIXES = [
  ...['', 'GIF89a', 'GIF89a&', 'GIF89a\n', 'GIF87a\r\n', 'RIFFaaaaWEBPVP8 ', '  {"ftypavif":1,'],
  ...[
    '\x89PNG\r\n\x1a\n',
    '\xff\xd8\xff\xe0',
    '\0\0\0 ftypavif',
    '\xef\xbb\xbf ',
    'data:,',
    '{',
    '[',
  ],
];
/** Each costs five milliseconds or more, read as what it is. */
const CONTENTS = [
  Array.from({ length: 900 }, (_, n) => `history[${n}].a.a.a.a=1`).join('&'),
  `${'--x\r\ncontent-disposition: form-data; name="a"\r\n\r\n1\r\n'.repeat(900)}--x--`,
  '"":'.repeat(3000),
  `${'[],'.repeat(3000)}[]]`,
];
const TYPES = [
  ...['', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x', 'text/plain'],
  ...[
    'application/json',
    'image/gif',
    'application/octet-stream',
    'application/json; charset=latin1',
  ],
];
/** Of what was looked at as an image. */
const OF_IMAGES = ['no-image', 'invalid-image', 'unsupported-media-type', 'several-images'];

it('what is read as a form or as JSON is priced as one, however it begins and whatever it is called', async () => {
  const most = claimed();
  const anyOf = <T>(values: readonly T[]) => fc.constantFrom(...values);
  const property = fc.asyncProperty(
    anyOf(PREFIXES),
    anyOf(CONTENTS),
    anyOf(TYPES),
    anyOf(Object.keys(READERS)),
    async (prefix, content, type, reader) => {
      most.ms = 0;
      const headers = type === '' ? {} : { 'content-type': type };
      const body = new Uint8Array(Buffer.from(prefix + content, 'latin1'));
      const request = new Request('http://edge.test/', { method: 'POST', headers, body });
      let isImage: boolean | undefined;
      try {
        isImage = await READERS[reader]?.(request);
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        isImage = OF_IMAGES.includes(error.slug);
      }
      // JSON that begins as none is not parsed: strings before colons are all that is looked at.
      const isLooked = content !== CONTENTS[3] && !isMismatched(content, type, prefix, reader);
      if (!isImage && isLooked) expect(most.ms).toBeGreaterThan(4);
    },
  );
  await fc.assert(property, { numRuns: 800 });
});

/** Whether what reads it finds nothing of its own in it: forms one field, JSON no names. */
function isMismatched(content: string, type: string, prefix: string, reader: string): boolean {
  const isObject = /^\s*\{/.test(prefix.replace('\xef\xbb\xbf', ''));
  const isForm = reader === 'request' && /urlencoded/.test(type) && !isObject;
  const isMultipart = /multipart/.test(type) && (reader === 'request' || reader === 'parts');
  if (isForm) return content !== CONTENTS[0];
  return isMultipart ? content !== CONTENTS[1] : content !== CONTENTS[2];
}

it.each([
  ['application/x-www-form-urlencoded', `GIF89a&${CONTENTS[0]}`, '/v1/answers', 4],
  ['multipart/form-data; boundary=x', `GIF89a\n${CONTENTS[1]}`, '/replicate/v1/files', 25],
])(
  'a form that begins as an image, %s, claims what its fields cost',
  async (type, text, path, ms) => {
    const most = claimed();
    const { request } = startEdge();
    const headers = { 'content-type': type };
    await request(path, { method: 'POST', headers, body: text });
    expect(most.ms).toBeGreaterThan(ms);
  },
);

it('an image claims what an image costs, whatever it is called', async () => {
  const most = claimed();
  for (const type of TYPES.slice(0, 7)) {
    const headers = { 'content-type': type };
    const body = newImage(1_000_000);
    const request = new Request('http://edge.test/', { method: 'POST', headers, body });
    expect(await READERS.request?.(request)).toBe(true);
  }
  expect(most.ms).toBeLessThan(3.2);
});
