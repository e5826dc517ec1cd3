import { AnswerRequest } from '@blip2/shared/schemas/answers';
import { describe, expect, it } from 'vitest';
import { newImage } from '../testing/edge.ts';
import { readMultipart } from './multipart-form.ts';

type WrittenPart = [name: string, content: string | Uint8Array, ...headers: string[]];

const FILE = '; filename="a"';
const JSON_TYPE = 'Content-Type: application/json';
const image = newImage();

function read(...parts: WrittenPart[]): Record<string, unknown> {
  const chunks = parts.flatMap(([name, content, ...headers]) => {
    const [quoted, parameters = ''] = name.split(/(?=;)/);
    const head = [`Content-Disposition: form-data; name="${quoted}"${parameters}`, ...headers];
    return [
      Buffer.from(`--x\r\n${head.join('\r\n')}\r\n\r\n`),
      Buffer.from(content),
      Buffer.from('\r\n'),
    ];
  });
  const body = new Uint8Array(Buffer.concat([...chunks, Buffer.from('--x--\r\n')]));
  return readMultipart(body, 'x', AnswerRequest);
}

describe('the image is', () => {
  it.each<[string, WrittenPart[]]>([
    ['the file of that name', [[`image${FILE}`, image]]],
    [
      'the only file, whatever its name',
      [
        [`photo[]${FILE}`, image],
        ['question', 'what?'],
      ],
    ],
    ['the file of that name in a list', [[`image[]${FILE}`, image]]],
    ['the file at a place within it', [[`image[data]${FILE}`, image]]],
    ["the file whose name is its part's, too", [[`image.png${FILE}`, image]]],
    ['bytes without a file name', [['image', image]]],
    ['a part of an image type', [['file', image, 'Content-Type: image/png']]],
    [
      'the only file that has bytes',
      [
        [`mask; filename=""`, ''],
        [`file${FILE}`, image],
      ],
    ],
    [
      'beside texts that came as files',
      [
        [`question${FILE}`, 'what?'],
        [`file${FILE}`, image],
      ],
    ],
  ])('%s', (_which, parts) => {
    expect(read(...parts).image).toEqual(image);
  });

  it('a text where it is one', () => {
    expect(read(['image', 'https://a.example/b.png']).image).toBe('https://a.example/b.png');
    expect(read(['image', '{"sha256": "a"}', JSON_TYPE]).image).toEqual({ sha256: 'a' });
    expect(read(['image[url]', 'https://a.example']).image).toEqual({ url: 'https://a.example' });
  });
});

describe('fields are', () => {
  it('texts, also of files, with the line breaks of JSON', () => {
    expect(read([`question${FILE}`, 'what\r\nis it?', 'Content-Type: text/plain'])).toEqual({
      question: 'what\nis it?',
    });
  });

  it('JSON, one by one or together', () => {
    const history = [{ question: 'a', answer: 'b' }];
    const text = JSON.stringify(history);
    expect(read(['history', text, JSON_TYPE])).toEqual({ history });
    expect(read(['history', text])).toEqual({ history });
    const together = JSON.stringify({ history, seed: 7, stop: null });
    expect(read([`request${FILE}`, together, JSON_TYPE], ['question', 'c'])).toEqual({
      history,
      seed: 7,
      question: 'c',
    });
  });

  it('in the charset of their part, of the form, or UTF-8', () => {
    const latin1 = Uint8Array.of(0xe9);
    const charset = 'Content-Type: text/plain; charset=ISO-8859-1';
    expect(read(['question', latin1, charset])).toEqual({ question: 'é' });
    expect(read(['_charset_', 'iso-8859-1'], ['question', latin1])).toEqual({ question: 'é' });
    expect(read(['question', 'é'])).toEqual({ question: 'é' });
    expect(() => read(['question', latin1])).toThrow(/question: the text is not UTF-8/);
  });
});

it.each<[string, WrittenPart[], string, RegExp]>([
  [
    'two images',
    [
      [`image${FILE}`, image],
      [`image${FILE}`, image],
    ],
    'several-images',
    /image, image/,
  ],
  [
    'two files of other names',
    [
      [`a${FILE}`, image],
      [`b${FILE}`, image],
    ],
    'several-images',
    /: a, b/,
  ],
  [
    'a file beside the image',
    [
      [`image${FILE}`, image],
      [`mask${FILE}`, image],
    ],
    'invalid-request',
    /^mask: a file/,
  ],
  [
    'a file beside an image as text',
    [
      ['image', 'aGk='],
      [`b${FILE}`, image],
    ],
    'several-images',
    /image, b/,
  ],
  [
    'a field in two places',
    [
      ['seed', '1'],
      ['a', '{"seed": 2}', JSON_TYPE],
    ],
    'invalid-request',
    /seed is given twice/,
  ],
  [
    'JSON that is none',
    [['history', '[', JSON_TYPE]],
    'invalid-json',
    /^history is not valid JSON/,
  ],
])('%s is refused', (_what, parts, slug, message) => {
  expect(() => read(...parts)).toThrow(
    expect.objectContaining({ slug, message: expect.stringMatching(message) }),
  );
});
