/** Requests as common clients write them, through the whole chain: the exact bytes of many, and some clients themselves. */
import { spawn, spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import zlib from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Stack, startStack } from '../../tools/local-stack.ts';
import { CLIENT_REQUESTS, MAX_TOKENS, QUESTION } from '../support/client-requests.ts';
import { descendantsOf } from '../support/processes.ts';
import { testImages } from '../support/test-images.ts';

type Body = NonNullable<RequestInit['body']>;
type Reply = { answer: string; image: { sha256: string }; usage: { completion_tokens: number } };

let stack: Stack;
let folder: string;
let imagePath: string;
let image: Uint8Array<ArrayBuffer>;
let sha256: string;
let expected: Reply;

beforeAll(async () => {
  const [first] = await testImages(1);
  ({ bytes: image, sha256 } = first!);
  folder = await mkdtemp(join(tmpdir(), 'clients-'));
  imagePath = join(folder, 'scene.webp');
  await writeFile(imagePath, image);
  stack = await startStack();
  const query = new URLSearchParams({ question: QUESTION, max_tokens: String(MAX_TOKENS) });
  const response = await fetch(`${stack.url}/v1/answers?${query}`, {
    method: 'POST',
    headers: { 'content-type': 'image/webp' },
    body: image,
  });
  expected = (await response.json()) as Reply;
  expect(expected).toMatchObject({ image: { sha256 } });
  expect(expected.usage.completion_tokens).toBeLessThanOrEqual(MAX_TOKENS);
});
afterAll(async () => {
  await stack?.stop();
  await rm(folder, { recursive: true, force: true });
});

const answers = () => `${stack.url}/v1/answers`;

/** The reply that every way of asking the same must have. */
function expectTheAnswer(reply: unknown): void {
  expect(reply).toMatchObject({ answer: expected.answer, image: { sha256 } });
  expect((reply as Reply).usage).toEqual(expected.usage);
}

async function post(body: Body, headers: Record<string, string>, path = '/v1/answers') {
  const response = await fetch(`${stack.url}${path}`, { method: 'POST', headers, body });
  return { status: response.status, headers: response.headers, json: await response.json() };
}

describe('a form as it is written by', () => {
  it.each(Object.entries(CLIENT_REQUESTS))('%s', async (_client, write) => {
    const { contentType, body } = write(image);
    const { json } = await post(body, { 'content-type': contentType });
    expectTheAnswer(json);
  });
});

describe('JSON', () => {
  const data = () => Buffer.from(image).toString('base64');
  const body = (reference: unknown) => ({
    image: reference,
    question: QUESTION,
    max_new_tokens: MAX_TOKENS,
  });

  it.each<[string, () => Record<string, unknown>]>([
    ['with an image that is a data: URL', () => body(`data:image/webp;base64,${data()}`)],
    ['with an image that is base64', () => body(data())],
    ['with an image that is a hash', () => body(sha256)],
    ['with a hash in capitals', () => body({ sha256: sha256.toUpperCase() })],
    ['with a data: URL as its URL', () => body({ url: `DATA:image/webp; base64,${data()}` })],
    [
      'with null for what is absent',
      () => ({
        ...body({ sha256, url: null, data: null }),
        history: null,
        stop: null,
        temperature: null,
        max_tokens: null,
      }),
    ],
    [
      'with the names of transformers',
      () => ({
        ...body({ sha256 }),
        do_sample: false,
        num_return_sequences: 1,
      }),
    ],
  ])('%s', async (_what, members) => {
    const text = JSON.stringify(members());
    expectTheAnswer((await post(text, { 'content-type': 'application/json' })).json);
  });

  it.each([
    'application/json; charset=utf-8',
    'text/json',
    'application/vnd.api+json',
    'text/plain;charset=UTF-8',
    'application/x-www-form-urlencoded',
  ])('called %s', async (type) => {
    const text = JSON.stringify(body(sha256));
    expectTheAnswer((await post(text, { 'content-type': type })).json);
  });
});

/** Most MiB that workerd has had in memory; 0 where the system does not say. */
async function mostMemoryOfEdge(): Promise<number> {
  const peaks = (await descendantsOf(process.pid)).map(async (pid) => {
    const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
    const [, kibibytes = 0] = /^Name:\s*workerd$[\s\S]*^VmHWM:\s*(\d+) kB/m.exec(status) ?? [];
    return Number(kibibytes) / 1024;
  });
  return Math.max(0, ...(await Promise.all(peaks)));
}

describe('a compressed body', () => {
  it.each<[string, (bytes: Uint8Array) => Uint8Array]>([
    ['gzip', zlib.gzipSync],
    ['deflate', zlib.deflateSync],
    ['zstd', zlib.zstdCompressSync],
  ])('in %s is read', async (coding, compress) => {
    const members = { image: { sha256 }, question: QUESTION, max_tokens: MAX_TOKENS };
    const json = new Uint8Array(compress(Buffer.from(JSON.stringify(members))));
    const headers = { 'content-encoding': coding };
    const type = { 'content-type': 'application/json' };
    expectTheAnswer((await post(json, { ...headers, ...type })).json);
    const raw = new Uint8Array(compress(image));
    const query = new URLSearchParams({ question: QUESTION, max_tokens: String(MAX_TOKENS) });
    const path = `/v1/answers?${query}`;
    expectTheAnswer((await post(raw, { ...headers, 'content-type': 'image/webp' }, path)).json);
  });

  it('of ten megabytes that would become ten gigabytes is refused, and memory stays', async () => {
    const before = await mostMemoryOfEdge();
    expect(before > 0).toBe(process.platform === 'linux');
    const block = zlib.gzipSync(new Uint8Array(10 * 2 ** 20), { level: 9 });
    const bomb = new Uint8Array(Buffer.concat(Array.from({ length: 1000 }, () => block)));
    const { status, json } = await post(bomb, {
      'content-type': 'application/json',
      'content-encoding': 'gzip',
    });
    expect(status).toBe(413);
    expect(json).toMatchObject({ type: '/problems/body-too-large', limit: 30 * 2 ** 20 });
    expect((await mostMemoryOfEdge()) - before).toBeLessThan(300);
  });

  it('in another coding is refused with those that are read', async () => {
    const headers = { 'content-type': 'application/json', 'content-encoding': 'compress' };
    const refused = await post('{}', headers);
    expect(refused.status).toBe(415);
    expect(refused.headers.get('accept-encoding')).toBe('gzip, deflate, zstd');
  });
});

/** Runs a program; its standard output, which must be a reply. */
async function replyOf(program: string, args: readonly string[]): Promise<unknown> {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  const [out, err] = await Promise.all([textOf(child.stdout), textOf(child.stderr)]);
  try {
    return JSON.parse(out);
  } catch {
    throw new Error(`${program} got no reply: ${out}${err}`);
  }
}

async function textOf(stream: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

const works = (program: string, ...args: string[]) =>
  spawnSync(program, args, { stdio: 'ignore' }).status === 0;

describe.skipIf(!works('curl', '--version'))('curl', () => {
  const form = ['-F', `question=${QUESTION}`, '-F', `max_tokens=${MAX_TOKENS}`];
  it.each<[string, () => string[]]>([
    ['-F', () => ['-F', `image=@${imagePath}`, ...form]],
    ['-F with another name', () => ['-F', `file=@${imagePath}`, ...form]],
    [
      '-F with a text as a file',
      () => [
        '-F',
        `image=@${imagePath}`,
        '-F',
        `question=@${folder}/question.txt`,
        '-F',
        'max_tokens=3',
      ],
    ],
    ['-F with base64', () => ['-F', `image=<${folder}/image.b64`, ...form]],
    ['-F with a part that is encoded', () => ['-F', `image=@${imagePath};encoder=base64`, ...form]],
    [
      '-F as chunks',
      () => ['-H', 'transfer-encoding: chunked', '-F', `image=@${imagePath}`, ...form],
    ],
    [
      '-d',
      () => [
        '-d',
        `image=${sha256}`,
        '--data-urlencode',
        `question=${QUESTION}`,
        '-d',
        'max_tokens=3',
      ],
    ],
    [
      '-d with base64',
      () => [
        '-d',
        `@${folder}/form.txt`,
        '--data-urlencode',
        `question=${QUESTION}`,
        '-d',
        'max_tokens=3',
      ],
    ],
    ['-d with JSON', () => ['-d', `@${folder}/request.json`]],
    ['--json', () => ['--json', `@${folder}/request.json`]],
    [
      '--data-binary without a type',
      () => [
        '--data-binary',
        `@${imagePath}`,
        '--url-query',
        `question=${QUESTION}`,
        '--url-query',
        'max_tokens=3',
      ],
    ],
    [
      '-T',
      () => [
        '-X',
        'POST',
        '-T',
        imagePath,
        '-H',
        'content-type: image/webp',
        '--url-query',
        `question=${QUESTION}`,
        '--url-query',
        'max_tokens=3',
      ],
    ],
  ])('%s', async (_how, args) => {
    const base64 = Buffer.from(image).toString('base64');
    const request = { image: { sha256 }, question: QUESTION, max_tokens: MAX_TOKENS };
    await Promise.all([
      writeFile(join(folder, 'question.txt'), QUESTION),
      writeFile(join(folder, 'image.b64'), base64.replace(/(.{76})/g, '$1\n')),
      writeFile(join(folder, 'form.txt'), `image=${base64}`),
      writeFile(join(folder, 'request.json'), JSON.stringify(request)),
    ]);
    expectTheAnswer(await replyOf('curl', ['-s', ...args(), answers()]));
  });

  it('-F with a name twice sends a list', async () => {
    const args = ['-F', `image=@${imagePath}`, '-F', 'texts=a dog', '-F', 'texts=a cat'];
    const reply = await replyOf('curl', ['-s', ...args, `${stack.url}/v1/match`]);
    const { scores } = reply as { scores: { text: string }[] };
    expect(scores.map(({ text }) => text)).toEqual(['a dog', 'a cat']);
  });
});

const PYTHONS = [
  ...(process.env.PYTHON ? [process.env.PYTHON] : []),
  'python3',
  '.venv-training/bin/python',
];
describe.each<[string, string, string]>([
  [
    'urllib',
    'urllib.request',
    `urllib.request.urlopen(url, json.dumps(body).encode()).read().decode()`,
  ],
  [
    'requests, with files',
    'requests',
    `requests.post(url, files={"image": open(path, "rb")}, data={"question": question, "max_tokens": 3}).text`,
  ],
  [
    'requests, with a mix of types',
    'requests',
    `requests.post(url, files={"file": ("a", open(path, "rb").read())}, data={"question": question, "max_tokens": 3, "stream": False}).text`,
  ],
  ['requests, with json', 'requests', `requests.post(url, json={**body, "stop": None}).text`],
  [
    'httpx, with files',
    'httpx',
    `httpx.post(url, files={"image": open(path, "rb")}, data={"question": question, "max_tokens": 3}).text`,
  ],
  ['httpx, with a form', 'httpx', `httpx.post(url, data=body).text`],
])('Python %s', (_how, module, call) => {
  const python = PYTHONS.find((path) => works(path, '-c', `import ${module}`));
  it.skipIf(python === undefined)('is read', async () => {
    const lines = [
      `import json, sys, ${module}`,
      'url, path, question, sha256 = sys.argv[1:]',
      'body = {"image": sha256, "question": question, "max_tokens": 3}',
      `print(${call})`,
    ];
    const args = ['-c', lines.join('\n'), answers(), imagePath, QUESTION, sha256];
    expectTheAnswer(await replyOf(python ?? '', args));
  });
});

describe('fetch', () => {
  it('with FormData, texts appended as blobs', async () => {
    const form = new FormData();
    form.append('photo', new Blob([image]), 'photo');
    form.append('question', new Blob([QUESTION]));
    form.append('max_tokens', String(MAX_TOKENS));
    expectTheAnswer((await post(form, {})).json);
  });

  it('with URLSearchParams', async () => {
    const members = { image: sha256, question: QUESTION, max_tokens: String(MAX_TOKENS) };
    expectTheAnswer((await post(new URLSearchParams(members), {})).json);
  });
});

describe('requests of one client beyond its part', () => {
  it.each<[string, (turn: number) => Record<string, string>]>([
    [
      'with other addresses in its headers each time',
      (turn) => ({
        'cf-connecting-ip': `203.0.113.${turn}`,
        'x-forwarded-for': `203.0.113.${turn}`,
        'x-real-ip': `203.0.113.${turn}`,
      }),
    ],
    ['without any', () => ({})],
  ])('get 429 with its limit, and the others are served: %s', async (_what, addressOf) => {
    const ask = async (seed: number) => {
      const address = addressOf(seed);
      const long = { min_tokens: 30, max_tokens: 30, seed };
      const body = JSON.stringify({ image: { sha256 }, question: QUESTION, ...long });
      const headers = { 'content-type': 'application/json', 'cache-control': 'no-cache' };
      return post(body, { ...headers, ...address });
    };
    const replies = await Promise.all(Array.from({ length: 100 }, (_, seed) => ask(seed)));
    const byStatus = Map.groupBy(replies, ({ status }) => status);
    expect([...byStatus.keys()].sort()).toEqual([200, 429]);
    const { headers, json } = byStatus.get(429)![0]!;
    expect(json).toMatchObject({ type: '/problems/too-many-requests', retry_after: 1 });
    const { limit } = json as { limit: number };
    expect(byStatus.get(200)!.length).toBeGreaterThanOrEqual(limit);
    expect(headers.get('retry-after')).toBe('1');
    expect(headers.get('ratelimit-policy')).toBe(`"client";q=${limit};qu="concurrent-requests"`);
    expect(headers.get('ratelimit')).toBe('"client";r=0;t=1');
  });
});

it.each([
  ['/v1/captions', 413],
  ['/v1/chat/completions', 413],
  ['/nothing/here', 404],
])('%s tells even who sends far too much what is wrong', async (path, status) => {
  const body = new Uint8Array(40_000_000).fill(65);
  // A connection that breaks while it is written to does so by chance.
  for (let turn = 0; turn < 8; turn++) {
    const reply = await fetch(`${stack.url}${path}`, { method: 'POST', body });
    await reply.arrayBuffer();
    expect(reply.status).toBe(status);
  }
});
