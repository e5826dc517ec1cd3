/** An image of any size is read wherever a small one is; where texts are as well, a long text is refused as one. */
import { beforeEach, describe, expect, it } from 'vitest';
import { base64, newImage, startEdge, type TestEdge } from '../testing/edge.ts';
import { generative, retrieval } from '../testing/models.ts';

let edge: TestEdge;
beforeEach(() => {
  edge = startEdge();
});

/** More bytes than a text may have. */
const SIZE = 100_000;
const LIMIT = 65_536;

const chat = (part: object) => ({
  model: generative.name,
  messages: [{ role: 'user', content: [part] }],
});
const response = (part: object) => ({
  model: generative.name,
  input: [{ role: 'user', content: [part] }],
});
const labels = { candidate_labels: ['a dog', 'two dogs on a mat'] };

type Place = [path: string, member: string, body: (text: string) => object];

/** Where a text is as good as an image. */
const EITHER: Place[] = [
  ['/v1/embeddings', 'input', (input) => ({ model: retrieval.name, input })],
  ['/v1/embeddings', 'input.1', (input) => ({ model: retrieval.name, input: ['a dog', input] })],
  ['/api/embed', 'input', (input) => ({ model: retrieval.name, input })],
  ['/api/embeddings', 'prompt', (prompt) => ({ model: retrieval.name, prompt })],
  ['/hf/feature-extraction', 'inputs', (inputs) => ({ inputs })],
  ['/hf/feature-extraction', 'inputs.0', (inputs) => ({ inputs: [inputs, 'a dog'] })],
  [`/hf/models/${generative.name}`, 'inputs', (inputs) => ({ inputs })],
];
const IMAGE: Place[] = [
  ['/hf/image-to-text', 'inputs', (inputs) => ({ inputs })],
  ['/hf/zero-shot-image-classification', 'inputs', (inputs) => ({ inputs, parameters: labels })],
  ['/hf/visual-question-answering', 'inputs', (inputs) => ({ inputs, question: 'what?' })],
];
const NAMED: Place[] = [
  ['/v1/chat/completions', '', (file_data) => chat({ type: 'file', file: { file_data } })],
  ['/v1/responses', '', (file_data) => response({ type: 'input_file', file_data })],
];
const ADDRESS: Place[] = [
  ['/v1/responses', '', (file_url) => response({ type: 'input_file', file_url })],
];

const asUrl = (data: string) => `data:image/png;base64,${data}`;

describe.each([...EITHER, ...IMAGE, ...NAMED])('%s, %s', (path, _member, body) => {
  it.each<[string, (data: string) => string]>([
    ['base64', (data) => data],
    ['base64 in lines', (data) => `${data.replaceAll(/.{76}/g, '$&\n')}\n`],
    ['a data: URL', asUrl],
  ])('reads a large image that is %s', async (_how, write) => {
    const image = newImage(SIZE);
    const reply = await edge.post(path, body(write(base64(image))));
    expect(reply.status, await reply.clone().text()).toBe(200);
    expect(edge.gpu.received.some(({ payload }) => payload.length === SIZE)).toBe(true);
  });

  it('reads one whose slashes are escaped', async () => {
    const image = newImage(SIZE);
    image.set([0xff, 0xd8, 0xff, 0xe0]);
    const json = JSON.stringify(body(base64(image))).replaceAll('/', '\\/');
    expect(json).toContain('\\/9j\\/');
    const bytes = new TextEncoder().encode(json);
    const reply = await edge.post(path, bytes, { 'content-type': 'application/json' });
    expect(reply.status, await reply.clone().text()).toBe(200);
  });
});

it.each(ADDRESS)('%s reads a large data: URL as an address', async (path, _member, body) => {
  const reply = await edge.post(path, body(asUrl(base64(newImage(SIZE)))));
  expect(reply.status).toBe(200);
});

describe.each([...EITHER, ...IMAGE])('%s, %s', (path, member, body) => {
  it.each(['a dog and '.repeat(8000), 'dog'.repeat(30_000), 'iVBORw0KGgo, '.repeat(8000)])(
    'refuses a long text as one: %.12s',
    async (text) => {
      const reply = await edge.post(path, body(text));
      expect(reply.status).toBe(400);
      const error = await reply.text();
      expect(error).toContain(`${member}: has ${text.length} bytes; a text has at most ${LIMIT}.`);
      expect(edge.gpu.received).toEqual([]);
    },
  );
});

it.each(EITHER)('%s, %s: says which format is not decoded', async (path, member, body) => {
  const tiff = newImage(SIZE);
  tiff.set([0x49, 0x49, 0x2a, 0x00, 0x08, 0x00, 0x00, 0x00]);
  const reply = await edge.post(path, body(base64(tiff)));
  expect(reply.status).toBe(415);
  expect(await reply.text()).toContain('TIFF');
  expect(member).toBeTruthy();
});
