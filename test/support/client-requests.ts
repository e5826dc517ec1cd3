/** Requests byte for byte as HTTP clients write them: an image, a question, and the most tokens of the answer. */

type ClientRequest = { contentType: string; body: Uint8Array<ArrayBuffer> };
export type WriteRequest = (image: Uint8Array) => ClientRequest;

export const QUESTION = 'what is in the image?';
export const MAX_TOKENS = 3;

/** A part: its headers, each a line, and its content. */
type WrittenPart = { headers: readonly string[]; content: Uint8Array | string };

type Multipart = { boundary: string; parts: readonly WrittenPart[]; contentType?: string };

function multipart({ boundary, parts, contentType }: Multipart): ClientRequest {
  const chunks = parts.flatMap(({ headers, content }) => [
    Buffer.from([`--${boundary}`, ...headers, '', ''].join('\r\n')),
    Buffer.from(content),
    Buffer.from('\r\n'),
  ]);
  return {
    contentType: contentType ?? `multipart/form-data; boundary=${boundary}`,
    body: new Uint8Array(Buffer.concat([...chunks, Buffer.from(`--${boundary}--\r\n`)])),
  };
}

/** Parts whose headers one client writes alike. @param names of image, question and max_tokens */
type PartHeaders = { file: string[]; field: (name: string) => string[]; names?: string[] };

function withParts(boundary: string, { file, field, names = [] }: PartHeaders): WriteRequest {
  const [question = 'question', max_tokens = 'max_tokens'] = names;
  return (image) =>
    multipart({
      boundary,
      parts: [
        { headers: field(question), content: QUESTION },
        { headers: file, content: image },
        { headers: field(max_tokens), content: String(MAX_TOKENS) },
      ],
    });
}

const quotedField = (name: string) => [`Content-Disposition: form-data; name="${name}"`];
const imageAs = (filename: string, name = 'image') =>
  `Content-Disposition: form-data; name="${name}"; filename="${filename}"`;

const DOTNET = '83d82e0d-9ced-44c0-ac79-4e66a827415b';

/** By client, and what is particular about the way it writes. */
export const CLIENT_REQUESTS: Readonly<Record<string, WriteRequest>> = {
  '.NET HttpClient: names without quotes, boundary with': (image) =>
    multipart({
      boundary: DOTNET,
      contentType: `multipart/form-data; boundary="${DOTNET}"`,
      parts: [
        {
          headers: [
            'Content-Type: text/plain; charset=utf-8',
            'Content-Disposition: form-data; name=question',
          ],
          content: QUESTION,
        },
        {
          headers: [
            'Content-Type: image/webp',
            "Content-Disposition: form-data; name=image; filename=test.webp; filename*=utf-8''test.webp",
          ],
          content: image,
        },
        {
          headers: [
            'Content-Type: text/plain; charset=utf-8',
            'Content-Disposition: form-data; name=max_tokens',
          ],
          content: String(MAX_TOKENS),
        },
      ],
    }),
  '.NET HttpClient: only an extended file name': withParts(DOTNET, {
    file: [
      'Content-Type: application/octet-stream',
      "Content-Disposition: form-data; name=image; filename*=utf-8''b%C3%A4r.webp",
    ],
    field: (name) => [
      'Content-Type: text/plain; charset=utf-8',
      `Content-Disposition: form-data; name=${name}`,
    ],
  }),
  '.NET HttpClient: an empty file name': withParts(DOTNET, {
    file: ['Content-Disposition: form-data; name=image; filename=""'],
    field: (name) => [`Content-Disposition: form-data; name=${name}`],
  }),
  'Python requests: no type of the file': withParts('5d3b3e0ff3b9bbc9a4d1b1d1cb5d1c0a', {
    file: [imageAs('scene.webp')],
    field: quotedField,
  }),
  'Python requests: bytes without a file name': withParts('5d3b3e0ff3b9bbc9a4d1b1d1cb5d1c0a', {
    file: ['Content-Disposition: form-data; name="image"', 'Content-Type: image/webp'],
    field: quotedField,
  }),
  'Python aiohttp: the type first': withParts('d2f1a1c64a0d4d0f8cbb6f2c3a1e5b77', {
    file: ['Content-Type: image/webp', imageAs('scene.webp')],
    field: (name) => ['Content-Type: text/plain; charset=utf-8', ...quotedField(name)],
  }),
  'Go mime/multipart: every file an octet stream': withParts(
    '4f1c2d3e4a5b6c7d8e9f0a1b2c3d4e5f6a7b8c9d0e1f2a3b4c5d6e7f8a9b',
    {
      file: [imageAs('scene.webp'), 'Content-Type: application/octet-stream'],
      field: quotedField,
    },
  ),
  'PHP curl': withParts('------------------------d74496d66958873e', {
    file: [imageAs('scene.webp'), 'Content-Type: image/webp'],
    field: quotedField,
  }),
  'PHP Guzzle: lengths of the parts': withParts('cd6a1d0d7b1a6b0e5a5f6cfc0b6e9e3d5a1f2b3c', {
    file: [imageAs('scene.webp'), 'Content-Length: 1', 'Content-Type: image/webp'],
    field: (name) => [...quotedField(name), 'Content-Length: 21'],
  }),
  'React Native: lower case, both file names': withParts('VZQZzWdQWcTVlcFEjIXHyC3wGkQyYI', {
    file: [
      `content-disposition: form-data; name="image"; filename="photo.jpg"; filename*=utf-8''photo.jpg`,
      'content-type: image/jpeg',
    ],
    field: (name) => [`content-disposition: form-data; name="${name}"`],
  }),
  'React Native: its usual name of a file': withParts('VZQZzWdQWcTVlcFEjIXHyC3wGkQyYI', {
    file: [imageAs('photo.jpg', 'file'), 'content-type: image/jpeg'],
    field: quotedField,
  }),
  'axios and form-data for Node': withParts('--------------------------269582170457853452170583', {
    file: [imageAs('scene.webp'), 'Content-Type: image/webp'],
    field: quotedField,
  }),
  'Java OkHttp: lengths of the parts': withParts('3c5c1f5e-8f1a-4c64-9d34-1f4a2f0d6d11', {
    file: [imageAs('scene.webp'), 'Content-Type: image/webp', 'Content-Length: 1'],
    field: (name) => [...quotedField(name), 'Content-Length: 1'],
  }),
  'Java Retrofit: transfer encoding, a JSON text': (image) =>
    multipart({
      boundary: '3c5c1f5e-8f1a-4c64-9d34-1f4a2f0d6d11',
      parts: [
        {
          headers: [
            'Content-Disposition: form-data; name="options"',
            'Content-Transfer-Encoding: binary',
            'Content-Type: application/json; charset=UTF-8',
          ],
          content: JSON.stringify({ question: QUESTION, max_tokens: MAX_TOKENS }),
        },
        {
          headers: [
            imageAs('scene.webp'),
            'Content-Transfer-Encoding: binary',
            'Content-Type: image/webp',
          ],
          content: image,
        },
      ],
    }),
  'Java Apache HttpClient: Latin-1, transfer encodings': withParts('Xl5Z-gxqxCh0Yk_2eMoRtqXqY6', {
    file: [
      imageAs('scene.webp'),
      'Content-Type: application/octet-stream',
      'Content-Transfer-Encoding: binary',
    ],
    field: (name) => [
      ...quotedField(name),
      'Content-Type: text/plain; charset=ISO-8859-1',
      'Content-Transfer-Encoding: 8bit',
    ],
  }),
  'Ruby multipart-post': withParts('-------------RubyMultipartPost-5a1f2b3c4d5e6f70', {
    file: [
      imageAs('scene.webp'),
      'Content-Length: 1',
      'Content-Type: image/webp',
      'Content-Transfer-Encoding: binary',
    ],
    field: quotedField,
  }),
  'Dart http: the type first, lower case': withParts('dart-http-boundary-OPjUrR.2hVX7mBVbSVZgG4', {
    file: ['content-type: application/octet-stream', imageAs('scene.webp').replace('C', 'c')],
    field: (name) => [`content-disposition: form-data; name="${name}"`],
  }),
  'a browser, with a file input that nobody filled': (image) =>
    multipart({
      boundary: '----WebKitFormBoundary7MA4YWxkTrZu0gW',
      parts: [
        { headers: quotedField('question'), content: QUESTION },
        { headers: [imageAs('scene.webp'), 'Content-Type: image/webp'], content: image },
        {
          headers: [imageAs('', 'mask'), 'Content-Type: application/octet-stream'],
          content: '',
        },
        { headers: quotedField('max_tokens'), content: String(MAX_TOKENS) },
        { headers: quotedField('temperature'), content: '' },
      ],
    }),
  'mail libraries: the image in base64': (image) =>
    multipart({
      boundary: '===============1234567890==',
      contentType: 'multipart/form-data; boundary="===============1234567890=="',
      parts: [
        { headers: quotedField('question'), content: QUESTION },
        {
          headers: [imageAs('scene.webp'), 'Content-Transfer-Encoding: base64'],
          content: Buffer.from(image)
            .toString('base64')
            .replace(/(.{76})/g, '$1\r\n'),
        },
        {
          headers: [...quotedField('max_tokens'), 'Content-Transfer-Encoding: quoted-printable'],
          content: '=33',
        },
      ],
    }),
};
