/** Clients' own packages, bundled into a page of another origin, which calls the service from the browser. */
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { build } from 'esbuild';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { ROOT } from '../../tools/prepare-edge.ts';
import { describePage } from './page-tests.ts';

/** What the page offers to the tests. */
const SCRIPT = `
  import OpenAI from 'openai';
  import { InferenceClient } from '@huggingface/inference';
  Object.assign(globalThis, { OpenAI, InferenceClient });
`;

async function serveScript() {
  const { outputFiles } = await build({
    stdin: { contents: SCRIPT, resolveDir: join(ROOT, 'test') },
    bundle: true,
    write: false,
    format: 'esm',
    platform: 'browser',
    logLevel: 'silent',
  });
  const script = outputFiles.map(({ text }) => text).join('');
  const server = createServer((request, response) => {
    const isScript = request.url === '/clients.js';
    response.setHeader('content-type', isScript ? 'text/javascript' : 'text/html');
    const html =
      '<!doctype html><link rel="icon" href="data:," /><script type="module" src="/clients.js"></script>';
    response.end(isScript ? script : html);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}/`, close: () => server.close() };
}

describePage('from a page of another origin,', (service) => {
  let site: Awaited<ReturnType<typeof serveScript>>;
  let page: Page;
  let imageUrl: string;
  beforeAll(async () => {
    site = await serveScript();
    const opened = await service.open();
    page = opened.page;
    await page.goto(site.url);
    await page.waitForFunction('globalThis.OpenAI !== undefined');
    const bytes = await readFile(join(ROOT, 'test/scenes/pair-noto-00.webp'));
    imageUrl = `data:image/webp;base64,${bytes.toString('base64')}`;
  });
  afterAll(() => site?.close());

  /** Runs a body of an async function in the page, with the service's address and an image. */
  function inPage<T>(body: string, url = service.gate.url): Promise<T> {
    const values = JSON.stringify({ url, imageUrl });
    return page.evaluate(`(async ({ url, imageUrl }) => {
      const client = new OpenAI({
        baseURL: url + '/v1', apiKey: 'sk-none', dangerouslyAllowBrowser: true, maxRetries: 0,
        organization: 'org-1', project: 'proj-1',
      });
      const messages = [{ role: 'user', content: [
        { type: 'text', text: 'what is above the octopus?' },
        { type: 'image_url', image_url: { url: imageUrl } },
      ] }];
      const model = 'blip2-scenes';
      ${body}
    })(${values})`) as Promise<T>;
  }

  it('is of another origin', async () => {
    expect(await inPage<string>('return location.origin')).not.toBe(service.gate.url);
  });

  it('openai chats, and reads the id of the request', async () => {
    const reply = await inPage<{ text: string; id: string }>(`
      const { data, response } = await client.chat.completions.create({ model, messages }).withResponse();
      return { text: data.choices[0].message.content, id: response.headers.get('x-request-id') };
    `);
    expect(reply.text).toBe('a pizza');
    expect(reply.id).toMatch(/\w/);
  });

  it('openai streams chat and responses, lists models and embeds', async () => {
    const reply = await inPage<Record<string, unknown>>(`
      let chat = '';
      for await (const { choices } of await client.chat.completions.create({ model, messages, stream: true })) {
        chat += choices[0]?.delta.content ?? '';
      }
      const input = [{ role: 'user', content: [
        { type: 'input_text', text: 'what is above the octopus?' },
        { type: 'input_image', image_url: imageUrl, detail: 'auto' },
      ] }];
      const response = await client.responses.stream({ model, input }).finalResponse();
      const { data } = await client.models.list();
      const { data: vectors } = await client.embeddings.create({ model, input: 'a pizza' }, {
        headers: { 'idempotency-key': 'one', 'cache-control': 'no-cache', prefer: 'wait' },
      });
      return { chat, response: response.output_text, models: data.map(({ id }) => id), width: vectors[0].embedding.length };
    `);
    expect(reply).toMatchObject({ chat: 'a pizza', response: 'a pizza', models: ['blip2-scenes'] });
    expect(reply.width).toBeGreaterThan(1);
  });

  it('openai reads errors, with the id of the request', async () => {
    const error = await inPage<Record<string, unknown>>(`
      const error = await client.chat.completions.create({ model: 'gpt-5', messages }).catch((thrown) => thrown);
      const { name, status, code, message, requestID } = error;
      return { name: error.constructor.name, status, code, message, requestID };
    `);
    expect(error).toMatchObject({ status: 404, code: 'model_not_found' });
    expect(error.message).toContain('gpt-5');
    expect(error.requestID).toMatch(/\w/);
  });

  it("Hugging Face's client captions and answers, and reads errors", async () => {
    const reply = await inPage<Record<string, unknown>>(`
      const hub = new InferenceClient('hf_none');
      const data = await (await fetch(imageUrl)).blob();
      const at = (task) => ({ endpointUrl: url + '/hf/' + task });
      const { generated_text } = await hub.imageToText({ data, ...at('image-to-text') });
      const inputs = { image: data, question: 'what is above the octopus?' };
      const { answer } = await hub.visualQuestionAnswering({ inputs, ...at('visual-question-answering') });
      let chat = '';
      const stream = hub.endpoint(url + '/hf').chatCompletionStream({ messages });
      for await (const { choices } of stream) chat += choices[0]?.delta.content ?? '';
      const error = await hub.imageToText({ data: new Blob(['no image']), ...at('image-to-text') }).catch((thrown) => thrown);
      const { status, requestId } = error.httpResponse;
      return { generated_text, answer, chat, message: error.message, status, requestId };
    `);
    expect(reply).toMatchObject({
      generated_text: 'a pizza above an octopus on a gray background',
      answer: 'a pizza',
      chat: 'a pizza',
    });
    expect(reply.status).toBeGreaterThanOrEqual(400);
    expect(reply.requestId).toMatch(/\w/);
    expect(reply.message).toMatch(/image/);
  });

  it('every header of a reply that the document describes can be read', async () => {
    const names = await inPage<string[]>(`
      const body = await (await fetch(imageUrl)).blob();
      const { headers } = await fetch(url + '/v1/embeddings', {
        method: 'POST', body, headers: { accept: 'application/x-npy', 'x-request-id': 'mine', 'x-api-key': 'sk-none' },
      });
      return [...headers.keys()];
    `);
    const read = [
      'x-request-id',
      'x-shape',
      'x-dtype',
      'content-location',
      'cache-control',
      'server-timing',
    ];
    expect(names).toEqual(expect.arrayContaining(read));
  });

  // The last: nothing works afterwards.
  it('openai reads after how long to come again', async () => {
    service.stack.worker.kill('SIGKILL');
    // A question of its own: the reply to one that was asked before is cached.
    const error = await inPage<Record<string, unknown>>(`
      const error = await client.chat.completions.create({ model, messages, max_tokens: 7 }).catch((thrown) => thrown);
      return { status: error.status, wait: error.headers.get('retry-after'), requestID: error.requestID };
    `);
    expect(error).toMatchObject({ status: 503, wait: expect.stringMatching(/^\d+$/) });
    expect(error.requestID).toMatch(/\w/);
  }, 60_000);
});
