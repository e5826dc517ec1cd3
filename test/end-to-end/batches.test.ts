/** OpenAI's own client, unchanged, runs batches at a whole service, and reads the webhooks that tell of their ends. */

import { readFile } from 'node:fs/promises';
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import OpenAI, { NotFoundError, toFile } from 'openai';
import type { Batch } from 'openai/resources/batches';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Stack, startStack } from '../../tools/local-stack.ts';

const SECRET = `whsec_${Buffer.alloc(32, 7).toString('base64')}`;
const NEXT_SECRET = `whsec_${Buffer.alloc(32, 8).toString('base64')}`;
const hasEnded = (state: string) => ['completed', 'failed', 'cancelled', 'expired'].includes(state);

let stack: Stack;
let client: OpenAI;
let hooks: Server;
let hookUrl: string;
const received: { headers: IncomingHttpHeaders; body: string }[] = [];
let image: string;

beforeAll(async () => {
  stack = await startStack({ jobs: true, vars: { ALLOW_PRIVATE_IMAGE_URLS: 'true' } });
  client = new OpenAI({ baseURL: `${stack.url}/v1`, apiKey: 'none', maxRetries: 0 });
  const path = fileURLToPath(new URL('../scenes/pair-noto-00.webp', import.meta.url));
  image = `data:image/webp;base64,${(await readFile(path)).toString('base64')}`;
  hooks = createServer(async (request, response) => {
    const chunks = await Array.fromAsync(request);
    received.push({ headers: request.headers, body: Buffer.concat(chunks).toString() });
    response.end();
  });
  await new Promise<void>((resolve) => hooks.listen(0, '127.0.0.1', resolve));
  hookUrl = `http://127.0.0.1:${(hooks.address() as AddressInfo).port}/`;
});
afterAll(async () => {
  hooks?.close();
  await stack?.stop();
});

const chat = (custom_id: string, text: string, url = image) => ({
  custom_id,
  method: 'POST',
  url: '/v1/chat/completions',
  body: {
    model: 'blip2-scenes',
    messages: [
      {
        role: 'user',
        content: [
          { type: 'text', text },
          { type: 'image_url', image_url: { url } },
        ],
      },
    ],
  },
});

async function upload(lines: readonly object[]): Promise<string> {
  const text = lines.map((line) => JSON.stringify(line)).join('\n');
  const file = await client.files.create({
    file: await toFile(Buffer.from(text), 'lines.jsonl'),
    purpose: 'batch',
  });
  return file.id;
}

async function run(lines: readonly object[], more: object = {}): Promise<Batch> {
  const input_file_id = await upload(lines);
  const { id } = await client.batches.create({
    input_file_id,
    endpoint: '/v1/chat/completions',
    completion_window: '24h',
    ...more,
  });
  const state = async () => (await client.batches.retrieve(id)).status;
  await expect.poll(state, { timeout: 60_000, interval: 100 }).toSatisfy(hasEnded);
  return await client.batches.retrieve(id);
}

type OutputLine = {
  id: string;
  custom_id: string;
  response: { status_code: number; request_id: string; body: Record<string, never> } | null;
  error: { code: string; message: string } | null;
};

type Tokens = Record<'prompt_tokens' | 'completion_tokens' | 'total_tokens', number>;

async function linesOf(file: string | null | undefined): Promise<OutputLine[]> {
  const text = await (await client.files.content(file ?? '')).text();
  return text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
}

describe('a batch', () => {
  it('runs each line of a file once, in their order, and writes files that clients can read', async () => {
    const batch = await run(
      [
        chat('above', 'what is above the octopus?'),
        chat('color', 'what color is the background?'),
        chat('broken', 'what is it?', 'data:image/png;base64,AAAA'),
      ],
      {
        metadata: { album: '17' },
        output_expires_after: { anchor: 'created_at', seconds: 3600 },
      },
    );
    expect(batch).toMatchObject({
      object: 'batch',
      status: 'completed',
      endpoint: '/v1/chat/completions',
      completion_window: '24h',
      request_counts: { total: 3, completed: 2, failed: 1 },
      metadata: { album: '17' },
      errors: null,
    });
    expect(batch.created_at).toBeLessThanOrEqual(batch.completed_at!);
    const output = await linesOf(batch.output_file_id);
    expect(output.map(({ custom_id }) => custom_id)).toEqual(['above', 'color']);
    expect(output.map(({ response }) => response)).toMatchObject([
      { status_code: 200, body: { choices: [{ message: { content: 'a pizza' } }] } },
      { status_code: 200, body: { choices: [{ message: { content: 'gray' } }] } },
    ]);
    const said = output.map(({ response }) => response?.body as unknown as { usage: Tokens });
    const sum = (name: keyof Tokens) => said.reduce((total, { usage }) => total + usage[name], 0);
    expect(batch.usage).toEqual({
      input_tokens: sum('prompt_tokens'),
      input_tokens_details: { cached_tokens: 0 },
      output_tokens: sum('completion_tokens'),
      output_tokens_details: { reasoning_tokens: 0 },
      total_tokens: sum('total_tokens'),
    });
    const errors = await linesOf(batch.error_file_id);
    expect(errors).toMatchObject([
      { custom_id: 'broken', response: { status_code: 400, body: { error: {} } }, error: null },
    ]);
    const file = await client.files.retrieve(batch.output_file_id!);
    const bytes = await (await client.files.content(file.id)).arrayBuffer();
    expect(file).toMatchObject({ purpose: 'batch_output', bytes: bytes.byteLength });
    expect(file.expires_at! - batch.created_at).toBeCloseTo(86_400 + 3600, -1);
    const listed: string[] = [];
    for await (const { id } of client.batches.list({ limit: 1 })) listed.push(id);
    expect(listed).toContain(batch.id);
  });

  it('fails before anything runs where lines are wrong, and names them', async () => {
    const batch = await run([
      chat('one', 'what is it?'),
      { ...chat('two', 'what is it?'), url: '/v1/embeddings' },
      chat('one', 'what is it?'),
    ]);
    expect(batch).toMatchObject({ status: 'failed', output_file_id: null, error_file_id: null });
    expect(batch.errors?.data?.map(({ line }) => line).toSorted()).toEqual([2, 3]);
    expect(batch.request_counts).toEqual({ total: 0, completed: 0, failed: 0 });
  });

  it('of a file or with an id that is none is not found', async () => {
    const create = client.batches.create({
      input_file_id: 'file-none',
      endpoint: '/v1/chat/completions',
      completion_window: '24h',
    });
    await expect(create).rejects.toBeInstanceOf(NotFoundError);
    await expect(client.batches.retrieve('batch_none')).rejects.toBeInstanceOf(NotFoundError);
  });

  it('can be canceled, once it has ended too', async () => {
    const { id } = await run([chat('one', 'what is above the octopus?')]);
    expect(await client.batches.cancel(id)).toMatchObject({ id, status: 'completed' });
  });
});

describe('a webhook', () => {
  it('gets the event of the end, in a form that the client unwraps by either secret', async () => {
    const webhook = { url: hookUrl, secrets: [NEXT_SECRET, SECRET], events: ['completed'] };
    const batch = await run([chat('one', 'what is above the octopus?')], { webhook });
    const arrived = () =>
      received.find(
        ({ body }) => (JSON.parse(body) as { data: { id: string } }).data.id === batch.id,
      );
    await expect.poll(arrived, { timeout: 20_000, interval: 50 }).toBeDefined();
    const { headers, body } = arrived()!;
    for (const secret of [SECRET, NEXT_SECRET]) {
      const event = await client.webhooks.unwrap(body, headers as Record<string, string>, secret);
      expect(event).toMatchObject({ type: 'batch.completed', data: { id: batch.id } });
    }
    const other = `whsec_${Buffer.alloc(32, 9).toString('base64')}`;
    const wrong = client.webhooks.unwrap(body, headers as Record<string, string>, other);
    await expect(wrong).rejects.toThrow();
  });

  it('of a job has a secret that is shown once, and a log of what was sent', async () => {
    type Job = { id: string; webhook: { url: string; events: string[]; secret?: string } };
    const read = async (path: string, init?: RequestInit) =>
      (await fetch(`${stack.url}/v1/jobs${path}`, init)).json();
    const job = (await read('', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        task: 'caption',
        items: [{ image: 'no image' }],
        webhook: { url: hookUrl, events: ['completed', 'expired'] },
      }),
    })) as Job;
    expect(job.webhook.events).toEqual(['job.completed', 'job.expired']);
    expect(((await read(`/${job.id}`)) as Job).webhook).toEqual({
      url: hookUrl,
      events: ['job.completed', 'job.expired'],
    });
    const sent = async () => ((await read(`/${job.id}/deliveries`)) as { data: object[] }).data;
    await expect.poll(sent, { timeout: 20_000, interval: 50 }).toHaveLength(1);
    const tried = { type: 'job.completed', attempt: 1, status: 200, error: null };
    expect(await sent()).toMatchObject([{ ...tried, next_attempt_at: null }]);
    const { headers, body } = received.find((one) => one.body.includes(job.id))!;
    const secret = job.webhook.secret ?? '';
    const event = await client.webhooks.unwrap(body, headers as Record<string, string>, secret);
    expect(event).toMatchObject({ data: { id: job.id } });
  });
});
