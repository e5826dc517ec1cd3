/** Texts in other charsets than UTF-8, and what reading a body costs: work is counted, since time says little on a busy machine. */
import { Buffer } from 'node:buffer';
import { AnswerRequest } from '@blip2/shared/schemas/answers';
import fc from 'fast-check';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { decodeImageData } from '../image/image-data.ts';
import { decodeText, toUtf8 } from './decode-text.ts';
import { parseJsonObject } from './json-body.ts';
import { parseMultipart } from './multipart.ts';
import { readMultipart } from './multipart-form.ts';
import { parseUrlEncoded } from './url-encoded.ts';

const MEBIBYTE = 2 ** 20;
const MAX_CONVERTED = 2 * MEBIBYTE;
const source = { what: 'The body', slug: 'invalid-json' } as const;

afterEach(() => vi.unstubAllGlobals());
afterEach(() => vi.restoreAllMocks());

const CHARSETS = [
  'windows-1252',
  'windows-874',
  'gb18030',
  'big5',
  'shift_jis',
  'euc-jp',
  'euc-kr',
  'iso-2022-jp',
  'utf-16le',
  'utf-16be',
];

it('a text in any charset is the same in UTF-8, wherever it is cut', () => {
  const ascii = fc.nat(3).map((tail) => new Uint8Array(4096 - tail).fill(0x61));
  const any = fc.uint8Array({ minLength: 1, maxLength: 12 });
  const bytes = fc
    .array(fc.oneof(ascii, any), { minLength: 1, maxLength: 6 })
    .map((parts) => new Uint8Array(Buffer.concat(parts)));
  const read = (decode: () => string) => {
    try {
      return decode();
    } catch {
      return null;
    }
  };
  fc.assert(
    fc.property(fc.constantFrom(...CHARSETS), bytes, (charset, text) => {
      const whole = read(() =>
        new TextDecoder(charset, { fatal: true, ignoreBOM: false }).decode(text),
      );
      const inPieces = read(() =>
        new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(
          toUtf8(text, charset, source),
        ),
      );
      expect(inPieces).toBe(whole);
    }),
    { numRuns: 500 },
  );
});

it('one text after the other is what each is alone, whatever the others are', () => {
  const begun = [
    [0xff, 0xfe, 0x61, 0x00],
    [0xfe, 0xff, 0x00, 0x61],
    [0x1b, 0x24, 0x42, 0x24],
    [0x81],
  ];
  const bytes = fc.oneof(
    fc.constantFrom(...begun.map((some) => Uint8Array.from(some))),
    fc.uint8Array({ maxLength: 6 }),
    fc.constant(new TextEncoder().encode('abcd')),
  );
  const texts = fc.array(bytes, { minLength: 1, maxLength: 5 });
  const read = (decode: () => string) => {
    try {
      return decode();
    } catch {
      return null;
    }
  };
  fc.assert(
    fc.property(fc.constantFrom(...CHARSETS), texts, (charset, all) => {
      for (const text of all) {
        const alone = read(() =>
          new TextDecoder(charset, { fatal: true, ignoreBOM: false }).decode(text),
        );
        expect(read(() => decodeText(text, charset, source))).toBe(alone);
      }
    }),
    { numRuns: 500 },
  );
});

it('a form in another charset has one decoder', () => {
  const made: string[] = [];
  const Real = TextDecoder;
  vi.stubGlobal(
    'TextDecoder',
    class extends Real {
      constructor(label?: string, options?: ConstructorParameters<typeof Real>[1]) {
        super(label, options);
        made.push(label ?? '');
      }
    },
  );
  const form = Array.from({ length: 500 }, (_, n) => `n${n}=%41`).join('&');
  expect(parseUrlEncoded(form, 'iso-8859-5')).toHaveLength(500);
  expect(made).toEqual(['iso-8859-5']);
});

it('a large image beside a text in another charset is read', () => {
  const data = 'A'.repeat(4 * MEBIBYTE);
  const body = Buffer.from(`{"question":"caf\xe9","image":"${data}","prompt":"\xe9"}`, 'latin1');
  expect(parseJsonObject(body, 'iso-8859-1')).toEqual({
    question: 'café',
    image: data,
    prompt: 'é',
  });
});

describe('what is converted has a limit', () => {
  const thai = new Uint8Array(28 * MEBIBYTE).fill(0xa2);
  const extras = (actual: number) =>
    expect.objectContaining({
      slug: 'body-too-large',
      extras: expect.objectContaining({ limit: MAX_CONVERTED, actual }),
    });

  it('in JSON, after which no more of it is', () => {
    const body = Buffer.concat([Buffer.from('{"image":"'), thai, Buffer.from('%41"}')]);
    expect(() => parseJsonObject(body, 'windows-874')).toThrow(extras(MAX_CONVERTED + 4096));
    expect(() => parseJsonObject(body, 'utf-16le')).toThrow(extras(MAX_CONVERTED + 4096));
  });

  it('in a form, of one text and of all', () => {
    const body = Buffer.concat([Buffer.from('image='), thai]);
    expect(() => parseUrlEncoded(new Uint8Array(body), 'windows-874')).toThrow(
      expect.objectContaining({
        slug: 'body-too-large',
        extras: { field: 'image', limit: 65_536, actual: thai.length },
      }),
    );
    const field = Buffer.concat([Buffer.from('&a='), thai.subarray(0, 60_000)]);
    const many = new Uint8Array(Buffer.concat(Array.from({ length: 100 }, () => field)));
    expect(() => parseUrlEncoded(many, 'windows-874')).toThrow(
      expect.objectContaining({ extras: { limit: MEBIBYTE, actual: 18 * 60_000 } }),
    );
  });
});

it('a base64 text is not percent-decoded where it has characters beyond ASCII', () => {
  const text = `${'A'.repeat(100)}ก%41`;
  expect(() => decodeImageData(text, 'image')).toThrow(/character 101 is "ก"/);
});

it('escaped quotes are not searched one by one', () => {
  const search = vi.spyOn(Uint8Array.prototype, 'indexOf');
  const body = Buffer.from(`{"image":"data:,${'\\"'.repeat(MEBIBYTE)}"}`);
  search.mockClear();
  parseJsonObject(new Uint8Array(body));
  expect(search.mock.calls.length).toBeLessThan(100);
});

describe('no decoder is made', () => {
  const counted = () => {
    let made = 0;
    vi.stubGlobal(
      'TextDecoder',
      class extends TextDecoder {
        constructor(...args: ConstructorParameters<typeof TextDecoder>) {
          super(...args);
          made++;
        }
      },
    );
    return () => made;
  };

  it('for the names of JSON', () => {
    const names = Array.from({ length: 5000 }, (_, i) => [`name ${i}`, i]);
    const body = Buffer.from(JSON.stringify(Object.fromEntries(names)));
    const made = counted();
    parseJsonObject(body);
    expect(made()).toBe(0);
  });

  it('for the headers of a form, whatever their bytes', () => {
    const part = (i: number) =>
      Buffer.from(
        `--x\r\nContent-Disposition: form-data; name="p${i}"\r\nX-A: \xff\r\n\r\nv\r\n`,
        'latin1',
      );
    const parts = Array.from({ length: 1000 }, (_, i) => part(i));
    const body = new Uint8Array(Buffer.concat([...parts, Buffer.from('--x--\r\n')]));
    const made = counted();
    expect(parseMultipart(body, 'x')).toHaveLength(1000);
    expect(made()).toBe(0);
  });
});

it('colons and brackets that no JSON has so many of are given up early', () => {
  for (const body of [`{"a"${':'.repeat(MEBIBYTE / 2)}}`, `[${'[]'.repeat(MEBIBYTE / 4)}]`]) {
    expect(() => parseJsonObject(Buffer.from(body))).toThrow(
      expect.objectContaining({
        extras: expect.objectContaining({ limit: 10_000, actual: 10_001 }),
      }),
    );
  }
});

it('parts of JSON in another encoding have one limit together', () => {
  const value = Buffer.concat([
    Buffer.from('{"data": "'),
    Buffer.alloc(400_000, 0xe9),
    Buffer.from('"}'),
  ]);
  const head = Buffer.from(
    '--x\r\nContent-Disposition: form-data; name="image"\r\nContent-Type: application/json; charset=latin1\r\n\r\n',
  );
  const parts = (count: number) => {
    const part = Buffer.concat([head, value, Buffer.from('\r\n')]);
    return new Uint8Array(Buffer.concat([...Array(count).fill(part), Buffer.from('--x--\r\n')]));
  };
  const read = (count: number) => () => readMultipart(parts(count), 'x', AnswerRequest);
  expect(read(1)()).toHaveProperty('image');
  expect(read(6)).toThrow(
    expect.objectContaining({ slug: 'body-too-large', extras: expect.anything() }),
  );
});

it('the headers of all parts of a form have limits together', () => {
  const form = (headers: string): Uint8Array<ArrayBuffer> => {
    const part = `--x\r\nContent-Disposition: form-data; name="p"\r\n${headers}\r\nv\r\n`;
    return new TextEncoder().encode(`${part.repeat(900)}--x--\r\n`).slice();
  };
  expect(parseMultipart(form('A: b\r\nC: d\r\nE: f\r\n'), 'x')).toHaveLength(900);
  expect(() => parseMultipart(form('A: b\r\n'.repeat(5)), 'x')).toThrow(
    /The parts have more than 4000 headers together/,
  );
  expect(() => parseMultipart(form(`A: ${'b'.repeat(2000)}\r\n`), 'x')).toThrow(
    /The parts have more than 1048576 bytes of headers/,
  );
});
