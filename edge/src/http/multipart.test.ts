import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Part, parseMultipart } from './multipart.ts';

const bytesOf = (text: string) =>
  Uint8Array.from(text, (character) => character.charCodeAt(0)) as Uint8Array<ArrayBuffer>;
const textOf = (bytes: Uint8Array) => String.fromCharCode(...bytes);
const parse = (text: string, boundary = 'x') => parseMultipart(bytesOf(text), boundary);

/** The only part of a body with these headers and this content. */
function only(headers: string, content = 'a'): Omit<Part, 'bytes'> & { text: string } {
  const [part, ...more] = parse(`--x\r\n${headers}\r\n\r\n${content}\r\n--x--\r\n`);
  expect(more).toEqual([]);
  const { bytes, ...rest } = part as Part;
  return { ...rest, text: textOf(bytes) };
}

it('gives back arbitrary parts', () => {
  const part = fc.record({
    name: fc.string({ minLength: 1, unit: 'grapheme-ascii' }),
    isFile: fc.boolean(),
    bytes: fc.oneof(
      fc.uint8Array({ maxLength: 50 }),
      fc.constantFrom('\r', '\n', '\r\n', '--', '--bo', '\r\n--bo', '\r\n\r\n').map(bytesOf),
    ),
  });
  fc.assert(
    fc.property(fc.array(part), fc.constantFrom('\r\n', '\n'), (parts, end) => {
      const chunks = parts.flatMap(({ name, isFile, bytes }) => {
        const quoted = name.replace(/["\\]/g, '\\$&');
        const filename = isFile ? '; filename=""' : '';
        return [
          bytesOf(
            `--bound${end}Content-Disposition: form-data; name="${quoted}"${filename}${end}${end}`,
          ),
          // With bare line feeds, a CR at the end would be one of the line break.
          ...[bytes, bytesOf(end === '\n' && bytes.at(-1) === 0x0d ? '.\n' : end)],
        ];
      });
      const body = Buffer.concat([...chunks, bytesOf('--bound--')]);
      const read = parseMultipart(new Uint8Array(body), 'bound');
      expect(read.map(({ name }) => name)).toEqual(
        parts.map(({ name }) =>
          name.replace(/^'(.*)'$/, '$1').replace(/%(22|0d|0a)/gi, (all) => unescape(all)),
        ),
      );
      expect(read.map(({ filename }) => filename !== undefined)).toEqual(
        parts.map(({ isFile }) => isFile),
      );
      if (end === '\r\n') {
        expect(read.map(({ bytes }) => [...bytes])).toEqual(parts.map(({ bytes }) => [...bytes]));
      }
    }),
  );
});

it('never fails but with a problem', () => {
  const piece = fc.oneof(
    fc.constantFrom(
      '--x',
      '--x--',
      '\r\n',
      '\n',
      '\r\n\r\n',
      'Content-Disposition: form-data; name=',
      ':',
      ' ',
    ),
    fc.string(),
  );
  fc.assert(
    fc.property(fc.array(piece), (pieces) => {
      try {
        expect(parse(pieces.join('').replace(/[^\0-\xff]/g, '?'))).toBeInstanceOf(Array);
      } catch (error) {
        expect(error).toMatchObject({ name: 'ApiError', slug: 'invalid-multipart' });
      }
    }),
  );
});

describe('a part', () => {
  it.each<[string, string, Partial<Part>]>([
    ['a bare name', 'Content-Disposition: form-data; name=image', { name: 'image' }],
    ['a name in quotes', 'content-disposition:form-data;name="image"', { name: 'image' }],
    ['a name in single quotes', "Content-Disposition: form-data; name='image'", { name: 'image' }],
    ['escaped quotes', 'Content-Disposition: form-data; name="a\\"b"', { name: 'a"b' }],
    [
      'quotes as browsers write them',
      'Content-Disposition: form-data; name="a%22b"',
      { name: 'a"b' },
    ],
    [
      'a file',
      'Content-Disposition: form-data; name="image"; filename="a.png"',
      { filename: 'a.png' },
    ],
    [
      'an empty file name',
      'Content-Disposition: form-data; name=image; filename=""',
      { filename: '' },
    ],
    [
      'an extended file name alone',
      "Content-Disposition: form-data; name=image; filename*=utf-8''%E2%82%AC.png",
      { filename: '€.png' },
    ],
    [
      'both file names',
      "Content-Disposition: form-data; name=image; filename=a.jpg; filename*=utf-8''b.jpg",
      { filename: 'a.jpg' },
    ],
    [
      'a type with a charset',
      'Content-Type: Text/Plain; charset=ISO-8859-1\r\nContent-Disposition: form-data; name="a"',
      { type: 'text/plain', charset: 'ISO-8859-1' },
    ],
    [
      'other headers',
      'Content-Disposition: form-data; name="a"\r\nContent-Length: 1\r\nX-Part: 7',
      { name: 'a', type: '' },
    ],
    [
      'a header over two lines',
      'Content-Disposition: form-data;\r\n name="a";\r\n\tfilename=b',
      { name: 'a', filename: 'b' },
    ],
  ])('may have %s', (_what, headers, expected) => {
    expect(only(headers)).toMatchObject({ text: 'a', ...expected });
  });

  it.each([
    ['base64', 'YSBk\r\nb2c=', 'a dog'],
    ['Quoted-Printable', 'a=20d=\r\nog=3D=E9', 'a dog=\xe9'],
    ['binary', 'a d=20', 'a d=20'],
    ['8bit', 'a', 'a'],
  ])('in the transfer encoding %s is decoded', (encoding, content, text) => {
    const headers = `Content-Disposition: form-data; name=a\r\nContent-Transfer-Encoding: ${encoding}`;
    expect(only(headers, content).text).toBe(text);
  });

  it('may be empty, with and without its empty line', () => {
    const headers = 'Content-Disposition: form-data; name=a';
    expect(only(headers, '').text).toBe('');
    expect(parse(`--x\r\n${headers}\r\n\r\n--x--`)[0]?.bytes).toHaveLength(0);
  });
});

it('may have text before its first and after its last boundary, and spaces after one', () => {
  const part = 'Content-Disposition: form-data; name=a\r\n\r\n1';
  const read = parse(`before --x\r\n--x \t\r\n${part}\r\n--xy\r\n--x--\r\nafter\r\n--x\r\n`);
  expect(read.map(({ bytes }) => textOf(bytes))).toEqual(['1\r\n--xy']);
  expect(parse('--x--')).toEqual([]);
});

describe('a body is refused by name', () => {
  const part = 'Content-Disposition: form-data; name=a\r\n\r\n1';
  it.each<[string, string, RegExp]>([
    ['without its boundary', 'junk', /no line with the boundary/],
    ['that is cut off', `--x\r\n${part}\r\n--x\r\n${part}`, /cut off: part 2 does not end/],
    ['that is cut off in a boundary', `--x\r\n${part}\r\n--x`, /cut off: part 1/],
    [
      'with a part without a name',
      '--x\r\nContent-Type: image/png\r\n\r\n1\r\n--x--',
      /Part 1 has no Content-Disp/,
    ],
    [
      'with a part that is no form data',
      '--x\r\nContent-Disposition: attachment; name=a\r\n\r\n1\r\n--x--',
      /Part 1/,
    ],
    ['with what is no header', '--x\r\nhello\r\n\r\n1\r\n--x--', /A header of part 1/],
    [
      'with too long headers',
      `--x\r\na: ${'b'.repeat(10_000)}\r\n\r\n1\r\n--x--`,
      /within 8192 bytes/,
    ],
    [
      'with too many headers',
      `--x\r\n${'a: b\r\n'.repeat(40)}\r\n1\r\n--x--`,
      /Part 1 has more than 32 headers/,
    ],
    ['with too many parts', `--x\r\n${part}\r\n`.repeat(1001), /more than 1000 parts/],
    [
      'with an unknown transfer encoding',
      '--x\r\nContent-Disposition: form-data; name=a\r\nContent-Transfer-Encoding: uuencode\r\n\r\n1\r\n--x--',
      /Content-Transfer-Encoding uuencode is not read/,
    ],
    [
      'with base64 that is none',
      '--x\r\nContent-Disposition: form-data; name=a\r\nContent-Transfer-Encoding: base64\r\n\r\n!\r\n--x--',
      /a: is not base64/,
    ],
  ])('%s', (_what, body, detail) => {
    expect(() => parse(body)).toThrow(detail);
  });

  it('whose Content-Type has no boundary, or one without end', () => {
    expect(() => parseMultipart(bytesOf('--x--'), undefined)).toThrow(/has no boundary/);
    expect(() => parse('--x--', 'x'.repeat(300))).toThrow(/more than 200 characters/);
  });
});
