import { describe, expect, it } from 'vitest';
import { type ChosenImage, imageAddress, imageFromAddress, requestBody } from './images.ts';

describe('the address of an image', () => {
  it.each([
    [' https://example.com/cat.jpg\n', 'https://example.com/cat.jpg'],
    ['HTTP://example.com/a?b=c#d', 'HTTP://example.com/a?b=c#d'],
    ['data:image/png;base64,AAAA', 'data:image/png;base64,AAAA'],
    ['a cat', null],
    ['see https://example.com/cat.jpg', null],
    ['https://', null],
    ['data:text/html,x', null],
    ['ftp://example.com/cat.jpg', null],
    ['javascript:alert(1)', null],
    ['', null],
  ])('in %j is %j', (text, address) => {
    expect(imageAddress(text)).toBe(address);
  });
});

describe('a request', () => {
  const fields = { question: 'a dog?', history: [{ question: 'q', answer: 'a' }], stream: true };

  it.each([
    ['https://example.com/cat.jpg', { url: 'https://example.com/cat.jpg' }],
    ['data:image/png;base64,AAAA', { data: 'data:image/png;base64,AAAA' }],
  ])('names the image at %s', (address, image) => {
    const body = requestBody(imageFromAddress(address), fields);
    expect(JSON.parse(body as string)).toEqual({ image, ...fields });
  });

  const scan: ChosenImage = {
    ...imageFromAddress('https://example.com/'),
    source: { kind: 'file', file: new File(['x'], 'scan') },
  };

  it('carries a file with its fields as a form', () => {
    const body = requestBody(scan, fields) as FormData;
    expect(body.get('question')).toBe('a dog?');
    expect(JSON.parse(String(body.get('history')))).toEqual(fields.history);
    expect(body.get('stream')).toBe('true');
    expect(body.get('image')).toBeInstanceOf(File);
  });

  it('carries as bytes what calls itself JSON: a part of JSON would be no file', () => {
    const file = new File(['{}'], 'a.json', { type: 'application/json' });
    const body = requestBody({ ...scan, source: { kind: 'file', file } }, {}) as FormData;
    expect(body.get('image')).toMatchObject({ name: 'a.json', type: 'application/octet-stream' });
  });
});
