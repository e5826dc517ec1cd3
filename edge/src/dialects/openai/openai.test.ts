/** OpenAI's routes in workerd: what the document describes, names of models, streams that fail or are left. */

import type { ProblemSlug } from '@blip2/shared/errors';
import { ApiError } from '@blip2/shared/errors';
import { type Schema, Validator } from '@cfworker/json-schema';
import { EventSourceParserStream } from 'eventsource-parser/stream';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import {
  apiDocument,
  base64,
  newImage,
  startEdge,
  type TestEdge,
  type TestSetup,
} from '../../testing/edge.ts';
import { generative, retrieval } from '../../testing/models.ts';
import { bulkReads } from '../../turns/bulk-reads.ts';

const CHAT = '/v1/chat/completions';
const RESPONSES = '/v1/responses';
const model = generative.name;
const document = apiDocument(startEdge().deps);

let edge: TestEdge;
beforeEach(() => {
  edge = startEdge();
});

const dataUrl = (bytes = newImage()) => `data:image/png;base64,${base64(bytes)}`;
const messages = (text = 'what is it?', url = dataUrl()) => [
  {
    role: 'user',
    content: [
      { type: 'text', text },
      { type: 'image_url', image_url: { url } },
    ],
  },
];
const chat = (members: object = {}) => ({ model, messages: messages(), ...members });
const input = (text = 'what is it?', image_url = dataUrl()) => [
  {
    role: 'user',
    content: [
      { type: 'input_text', text },
      { type: 'input_image', image_url },
    ],
  },
];
const responses = (members: object = {}) => ({ model, input: input(), ...members });

/** Schemas of components closed, so that a member that is not described is an error. */
function close(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(close);
  if (typeof value !== 'object' || value === null) return value;
  const members = Object.fromEntries(Object.entries(value).map(([k, inner]) => [k, close(inner)]));
  return 'properties' in value ? { additionalProperties: false, ...members } : members;
}
const components = close({ schemas: document.components.schemas });

function expectValid(schema: object, value: unknown): void {
  const validator = new Validator({ ...schema, components } as Schema, '2020-12', false);
  expect(validator.validate(value).errors).toEqual([]);
}

/** Expects the reply that the document describes, and returns it: JSON, or the data of all events. */
async function expectDescribed(path: string, response: Response, status = 200) {
  const text = await response.clone().text();
  expect(response.status, text).toBe(status);
  expect(response.headers.get('x-request-id')).toBeTruthy();
  const { content } = document.paths[path]!.post!.responses[status]!;
  const type = response.headers.get('content-type')!.split(';')[0]!;
  const schema = content![type]!.schema as { contentSchema?: object };
  if (type === 'application/json') {
    const json = await response.json();
    expectValid(schema, json);
    return json as Record<string, unknown>[] & Record<string, unknown>;
  }
  expect(text).toMatch(/^: ok\n\n/);
  const events = await dataOf(response);
  const failure = events.findIndex((event) => 'error' in event && !('type' in event));
  expectValid(schema.contentSchema!, failure === -1 ? events : events.slice(0, failure));
  return events as Record<string, unknown>[] & Record<string, unknown>;
}

async function dataOf(response: Response): Promise<Record<string, unknown>[]> {
  const all: Record<string, unknown>[] = [];
  const stream = response
    .body!.pipeThrough(new TextDecoderStream())
    .pipeThrough(new EventSourceParserStream());
  for await (const { event, data } of stream) {
    if (data === '[DONE]') continue;
    const parsed = JSON.parse(data);
    // A name on a chunk of a chat would be another kind of event to some clients.
    expect(event).toBe(parsed.type);
    all.push(parsed);
  }
  return all;
}

describe.each([
  [CHAT, chat],
  [RESPONSES, responses],
] as const)('POST %s', (path, body) => {
  it('replies as described, whole and streamed, with log-probabilities', async () => {
    const scored =
      path === CHAT
        ? { logprobs: true, top_logprobs: 2 }
        : { include: ['message.output_text.logprobs'], top_logprobs: 2 };
    for (const members of [{}, scored]) {
      for (const stream of [false, true]) {
        const reply = await edge.post(path, body({ ...members, stream }));
        expect(JSON.stringify(await expectDescribed(path, reply))).toContain('red');
      }
    }
  });

  it('takes JSON under any name, and compressed', async () => {
    const bytes = new TextEncoder().encode(JSON.stringify(body()));
    for (const type of ['text/plain', 'application/octet-stream', '']) {
      await expectDescribed(path, await edge.post(path, bytes, { 'content-type': type }));
    }
    const zipped = new Response(bytes).body!.pipeThrough(new CompressionStream('gzip'));
    const sent = new Uint8Array(await new Response(zipped).arrayBuffer());
    await expectDescribed(path, await edge.post(path, sent, { 'content-encoding': 'gzip' }));
  });

  it.each<[string, object | Uint8Array, number, string]>([
    ['no JSON', new TextEncoder().encode('{'), 400, 'invalid_json'],
    ['too many bytes', body({ user: 'x'.repeat(300_000) }), 413, 'body_too_large'],
    ['another model', body({ model: 'x' }), 404, 'model_not_found'],
    ['an unknown member', body({ color: 'red' }), 400, 'invalid_request'],
    [
      'one that a record would drop',
      body({ metadata: JSON.parse('{"__proto__": "a"}') }),
      400,
      'invalid_request',
    ],
    ...[
      { images: ['x'.repeat(513)] },
      { ['a'.repeat(65)]: 'a' },
      Object.fromEntries(Array.from({ length: 17 }, (_, i) => [`${i}`, 'a'])),
    ].map((metadata): [string, object, number, string] => [
      `metadata of ${JSON.stringify(metadata).length} characters`,
      ...([body({ metadata }), 400, 'invalid_request'] as const),
    ]),
    ['a call that must be made', body({ tool_choice: 'required' }), 400, 'unsupported_parameter'],
  ])('refuses %s', async (_what, sent, status, code) => {
    const { error } = await expectDescribed(path, await edge.post(path, sent), status);
    expect(error).toMatchObject({ code, type: 'invalid_request_error' });
    expect(edge.gpu.received).toEqual([]);
  });

  it.each<[ProblemSlug, number, string, string]>([
    ['too-many-requests', 429, 'rate_limit_exceeded', 'rate_limit_error'],
    ['overloaded', 503, 'overloaded', 'server_error'],
    ['deadline-exceeded', 504, 'deadline_exceeded', 'server_error'],
    ['invalid-image', 400, 'invalid_image', 'invalid_request_error'],
  ])('passes %s on as its status, streamed or not', async (slug, status, code, type) => {
    const isBusy = status === 429 || status === 503;
    const extras = isBusy ? { retry_after: 3 } : {};
    edge.gpu.script.refuse = new ApiError(slug, 'As the GPU worker says.', extras);
    for (const stream of [false, true]) {
      const response = await edge.post(path, body({ stream }));
      expect(response.headers.get('retry-after')).toBe(isBusy ? '3' : null);
      const { error } = await expectDescribed(path, response, status);
      expect(error).toMatchObject({ code, type, message: 'As the GPU worker says.' });
    }
  });

  it('ends a stream that fails in its own way', async () => {
    edge.gpu.script.breakOff = true;
    const events = await expectDescribed(path, await edge.post(path, body({ stream: true })));
    const last = events.at(-1)!;
    if (path === CHAT) {
      expect(last).toEqual({
        error: {
          message: 'The connection to the GPU worker failed.',
          type: 'server_error',
          param: null,
          code: 'worker_unavailable',
        },
      });
    } else {
      expect(last).toMatchObject({
        type: 'response.failed',
        sequence_number: events.length - 1,
        response: { status: 'failed', error: { code: 'worker_unavailable' } },
      });
    }
  });

  it('sends headers and a comment while the GPU worker has said nothing', async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    edge.gpu.script.start = promise;
    const response = await edge.post(path, body({ stream: true }));
    const reader = response.body!.getReader();
    const { value } = await reader.read();
    expect(new TextDecoder().decode(value)).toMatch(/^: ok\n\n/);
    resolve();
    let rest = '';
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      rest += new TextDecoder().decode(next.value);
    }
    expect(rest).toContain('red');
  });

  it('ends the work when the client leaves the stream', async () => {
    const { promise } = Promise.withResolvers<void>();
    edge.gpu.script.token = () => promise;
    const response = await edge.post(path, body({ stream: true }));
    await edge.gpu.untilReceived(1);
    await response.body!.cancel();
    await edge.gpu.untilCanceled(1);
  });

  it('asks for an image where there is none, and needs no GPU worker for it', async () => {
    edge.gpu.script.isGone = true;
    // As long as the conversation that an app wants a title for.
    const content = 'Write a title for this conversation. '.repeat(100);
    const text = path === CHAT ? { messages: [{ role: 'user', content }] } : { input: content };
    for (const stream of [false, true]) {
      const reply = await expectDescribed(path, await edge.post(path, body({ ...text, stream })));
      expect(JSON.stringify(reply)).toContain('Send an image');
    }
  });

  it('is answered to pages of any origin that send its headers', async () => {
    const requested = 'authorization,content-type,x-stainless-lang,openai-organization';
    const response = await edge.request(path, {
      method: 'OPTIONS',
      headers: {
        origin: 'https://x.example',
        'access-control-request-method': 'POST',
        'access-control-request-headers': requested,
      },
    });
    const allowed = response.headers.get('access-control-allow-headers') ?? '';
    for (const name of requested.split(',')) expect(allowed).toContain(name);
    const reply = await edge.post(path, body(), { origin: 'https://x.example' });
    const exposed = reply.headers.get('access-control-expose-headers') ?? '';
    for (const name of ['x-request-id', 'retry-after', 'retry-after-ms']) {
      expect(exposed).toContain(name);
    }
  });
});

describe('the prompt', () => {
  /** As the tokenizer of the embedded model has it, which knows no capitals. */
  const promptOf = async (sent: object, path = CHAT) => {
    await expectDescribed(path, await edge.post(path, sent));
    const { request } = edge.gpu.received.at(-1)!;
    if (request.kind !== 'generate') throw new Error('no generation');
    const ids = request.input_ids.slice(generative.prompt_prefix.length);
    const bytes = ids.flatMap((id) => [...generative.tokenizer().bytesOf(id)]);
    return { text: new TextDecoder().decode(Uint8Array.from(bytes)), request };
  };

  it('is the template of questions after system messages and earlier turns', async () => {
    const [first] = messages('is it red?');
    const { text } = await promptOf(
      chat({
        messages: [
          { role: 'developer', content: 'Be brief.' },
          first,
          { role: 'assistant', content: [{ type: 'text', text: 'yes' }] },
          { role: 'user', content: 'what is it?' },
        ],
      }),
    );
    expect(text).toBe('be brief. question: is it red? answer: yes. question: what is it? answer:');
  });

  describe('of a history with tools', () => {
    const called = { name: 'look_up', arguments: '{"city": "Rome"}' };
    const forms: [string, string, (result: string, reply: string[]) => object][] = [
      [
        'tool_calls',
        CHAT,
        (result, replies) =>
          chat({
            messages: [
              ...messages('what is it?'),
              {
                role: 'assistant',
                content: null,
                tool_calls: [{ id: 'a', type: 'function', function: called }],
              },
              { role: 'tool', tool_call_id: 'a', content: result },
              ...replies.flatMap((content) => [
                { role: 'assistant', content, refusal: null },
                { role: 'user', content: 'is it red?' },
              ]),
            ],
          }),
      ],
      [
        'function_call',
        CHAT,
        (result, replies) =>
          chat({
            messages: [
              ...messages('what is it?'),
              { role: 'assistant', content: '', function_call: called },
              { role: 'function', name: 'look_up', content: [{ type: 'text', text: result }] },
              ...replies.flatMap((refusal) => [
                { role: 'assistant', content: null, refusal },
                { role: 'user', content: 'is it red?' },
              ]),
            ],
          }),
      ],
      [
        'items of Responses',
        RESPONSES,
        (result, replies) =>
          responses({
            input: [
              ...input('what is it?'),
              { type: 'function_call', call_id: 'a', ...called },
              { type: 'function_call_output', call_id: 'a', output: result },
              ...replies.flatMap((text) => [
                { role: 'assistant', content: [{ type: 'output_text', text }] },
                { role: 'user', content: 'is it red?' },
              ]),
            ],
          }),
      ],
    ];

    it.each(forms)('has what the tool replied, and not its call: %s', async (_, path, sent) => {
      const asked = 'question: what is it? dogs bark';
      const now = await promptOf(sent('Dogs bark', []), path);
      expect(now.text).toBe(`${asked} answer:`);
      const later = await promptOf(sent('Dogs bark', ['a dog']), path);
      expect(later.text).toBe(`${asked} answer: a dog. question: is it red? answer:`);
    });
  });

  it('has instructions of a response before it', async () => {
    const { text } = await promptOf(responses({ instructions: 'Be brief.' }), RESPONSES);
    expect(text).toBe('be brief. question: what is it? answer:');
  });

  it('leaves the oldest turns out where truncation is auto, and is an error else', async () => {
    const turns = Array.from({ length: 12 }, (_, i) => [
      { role: 'user', content: `${'is it a red dog '.repeat(2)}${i}?` },
      { role: 'assistant', content: 'yes' },
    ]).flat();
    const long = responses({ input: [...turns, ...input('what is it?')] });
    const { error } = await expectDescribed(RESPONSES, await edge.post(RESPONSES, long), 400);
    expect(error).toMatchObject({ code: 'context_length_exceeded', param: 'input' });
    const { text } = await promptOf({ ...long, truncation: 'auto' }, RESPONSES);
    expect(text).toMatch(/11\? answer: yes\. question: what is it\? answer:$/);
    expect(text).not.toContain(' 0?');
  });

  it('comes with the options that were asked for', async () => {
    const { request } = await promptOf(
      chat({
        seed: -1,
        max_completion_tokens: 5,
        temperature: 0.5,
        top_p: 0.9,
        top_k: 3,
        frequency_penalty: 1,
      }),
    );
    expect(request.generation).toMatchObject({
      seed: 0xffff_ffff,
      max_tokens: 5,
      temperature: 0.5,
      top_p: 0.9,
      top_k: 3,
      frequency_penalty: 1,
    });
  });
});

describe('a reply of before', () => {
  const reply = async (members: object) => {
    const response = await edge.post(RESPONSES, responses(members));
    const { output } = (await expectDescribed(RESPONSES, response)) as unknown as {
      output: [{ id: string }];
    };
    return output[0].id;
  };
  const referring = (id: string) =>
    responses({
      input: [...input(), { type: 'item_reference', id }, { role: 'user', content: 'red?' }],
    });

  it('is looked up a few at a time, however many are referred to', async () => {
    let [open, most] = [0, 0];
    const { replies } = edge.deps;
    const find = vi.spyOn(replies, 'find').mockImplementation(async () => {
      most = Math.max(most, ++open);
      await new Promise((resolve) => setTimeout(resolve));
      open--;
      return 'a red dog';
    });
    const references = Array.from({ length: 100 }, (_, n) => {
      return { type: 'item_reference', id: `msg_${n}` };
    });
    const asked = [...input(), ...references, { role: 'user', content: 'red?' }];
    await edge.post(RESPONSES, responses({ input: asked }));
    expect(find).toHaveBeenCalledTimes(100);
    expect(most).toBe(6);
  });

  it('that is not remembered leaves none waiting behind it', async () => {
    const find = vi.spyOn(edge.deps.replies, 'find').mockResolvedValue(null);
    const run = vi.spyOn(bulkReads, 'run');
    const asked = Array.from({ length: 100 }, (_, n) => {
      return { type: 'item_reference', id: `msg_${n}` };
    });
    const refused = await edge.post(RESPONSES, responses({ input: asked }));
    expect(refused.status).toBe(400);
    expect(await refused.json()).toMatchObject({ error: { param: 'input.0.id' } });
    expect(find.mock.calls.length).toBeLessThanOrEqual(6);
    expect(run.mock.calls.length).toBeLessThanOrEqual(6);
    expect(run.mock.calls.every(([, , options]) => options?.ended?.aborted)).toBe(true);
  });

  it('is referred to by the id of its message, from another isolate too', async () => {
    const id = await reply({});
    await edge.settled();
    for (const other of [edge, startEdge()]) {
      await expectDescribed(RESPONSES, await other.post(RESPONSES, referring(id)));
      const { request } = other.gpu.received.at(-1)!;
      const ids = generative
        .tokenizer()
        .encode('Question: what is it? Answer: a red dog. Question: red? Answer:');
      expect(request).toMatchObject({ input_ids: [...generative.prompt_prefix, ...ids] });
    }
  });

  it('is not remembered with store: false, and what nobody remembers is an error', async () => {
    for (const id of [await reply({ store: false }), 'msg_1']) {
      const { error } = await expectDescribed(
        RESPONSES,
        await edge.post(RESPONSES, referring(id)),
        400,
      );
      expect(error).toMatchObject({ param: 'input.1.id', code: 'unsupported_parameter' });
    }
  });

  it.each(['computer_call', 'mcp_call', 'image_generation_call'])(
    'may not be a %s',
    async (type) => {
      const sent = responses({ input: [...input(), { type, call_id: 'x' }] });
      const { error } = await expectDescribed(RESPONSES, await edge.post(RESPONSES, sent), 400);
      expect(error).toMatchObject({ param: 'input.1.type', code: 'unsupported_parameter' });
    },
  );
});

describe('models', () => {
  const published: TestSetup = {
    models: {
      generate: { ...generative, name: 'blip2-opt-2.7b' },
      retrieve: { ...retrieval, name: 'blip2-itm-vit-g' },
    },
  };

  it('are listed once each, and have the names of the hub', async () => {
    const { request, post } = startEdge(published);
    const list = await (await request('/v1/models')).json<{ data: Record<string, unknown>[] }>();
    expect(list.data.map(({ id }) => id)).toEqual(['blip2-opt-2.7b', 'blip2-itm-vit-g']);
    const builtAt = [generative.created, retrieval.created];
    expect(list.data.map(({ created }) => created)).toEqual(builtAt);
    for (const seconds of builtAt) expect(seconds).toBeGreaterThan(1_700_000_000);
    for (const id of [
      'blip2-opt-2.7b',
      'Salesforce%2Fblip2-opt-2.7b',
      'Salesforce/blip2-opt-2.7b',
    ]) {
      const response = await request(`/v1/models/${id}`);
      expect(await response.json()).toMatchObject({ id: 'blip2-opt-2.7b', object: 'model' });
    }
    const reply = await post(CHAT, chat({ model: 'Salesforce/blip2-opt-2.7b' }));
    expect(await expectDescribed(CHAT, reply)).toMatchObject({ model: 'blip2-opt-2.7b' });
    const embedded = await post('/v1/embeddings', {
      model: 'Salesforce/blip2-itm-vit-g',
      input: 'a dog',
    });
    expect(await embedded.json()).toMatchObject({ model: 'blip2-itm-vit-g' });
  });

  it('are refused for what they do not do', async () => {
    const { post } = startEdge(published);
    const chatted = await expectDescribed(
      CHAT,
      await post(CHAT, chat({ model: 'blip2-itm-vit-g' })),
      404,
    );
    expect(chatted.error).toMatchObject({ code: 'model_not_found', param: 'model' });
    const sent = { model: 'blip2-opt-2.7b', input: 'a dog' };
    const embedded = await expectDescribed(
      '/v1/embeddings',
      await post('/v1/embeddings', sent),
      404,
    );
    expect(embedded.error).toMatchObject({
      message: expect.stringContaining('use blip2-itm-vit-g'),
    });
  });

  it.each(['gpt-5', 'Salesforce%2Fblip2-opt-2.7b', '%E0%A4%A'])('%s is not served', async (id) => {
    const response = await edge.request(`/v1/models/${id}`);
    expect(response.status).toBe(404);
    expect(await response.json()).toMatchObject({ error: { code: 'model_not_found' } });
  });
});

describe('POST /v1/embeddings', () => {
  const path = '/v1/embeddings';

  it('replies in the form of the request', async () => {
    const url = dataUrl();
    const sent = { model: retrieval.name, input: ['a dog', url] };
    const reply = await expectDescribed(path, await edge.post(path, sent));
    expect(reply).toMatchObject({ object: 'list', data: [{ index: 0 }, { index: 1 }] });
    const encoded = await edge.post(path, { ...sent, encoding_format: 'base64' });
    const { data } = (await expectDescribed(path, encoded)) as unknown as {
      data: { embedding: string }[];
    };
    expect(Uint8Array.fromBase64(data[1]!.embedding)).toHaveLength(retrieval.itc_hidden * 4);
    const native = await edge.post(path, { text: 'a dog', kind: 'itc' });
    expect(await expectDescribed(path, native)).toMatchObject({ kind: 'itc' });
  });

  it('replies to errors in the form of the request, or of the client', async () => {
    const errorOf = async (body: object | Uint8Array, headers = {}) => {
      const response = await edge.post(path, body, headers);
      return { type: response.headers.get('content-type'), json: await response.json() };
    };
    expect(await errorOf({ input: 'a' })).toMatchObject({
      type: 'application/json',
      json: { error: { param: 'model' } },
    });
    expect(await errorOf({ input: 'a', model, image: dataUrl() })).toMatchObject({
      json: { error: { param: 'image' } },
    });
    expect(await errorOf({ text: 'a', kind: 'x' })).toMatchObject({
      type: 'application/problem+json',
      json: { field: 'kind' },
    });
    const bytes = new TextEncoder().encode('{');
    const json = { 'content-type': 'application/json' };
    expect(await errorOf(bytes, json)).toMatchObject({ type: 'application/problem+json' });
    expect(await errorOf(bytes, { ...json, 'x-stainless-lang': 'js' })).toMatchObject({
      json: { error: { code: 'invalid_json' } },
    });
  });

  it.each([[[[1, 2], [3]]], [[1, 2]]])('reads no token ids: %j', async (input) => {
    const body = { model: retrieval.name, input, encoding_format: 'base64' };
    const { error } = await expectDescribed(
      '/v1/embeddings',
      await edge.post('/v1/embeddings', body),
      400,
    );
    const message = expect.stringContaining('token ids are not read');
    expect(error).toMatchObject({ message, param: expect.stringMatching(/^input/) });
  });

  it('names the image that cannot be read', async () => {
    const sent = { model: retrieval.name, input: ['a dog', 'https://gone.example/a.png'] };
    const { error } = await expectDescribed(path, await edge.post(path, sent), 400);
    expect(error).toMatchObject({ param: 'input.1', code: 'image_url_failed' });
  });
});

it('a path that is nowhere is an error that both kinds of clients can read', async () => {
  const response = await edge.request('/v1/nothing');
  expect(await response.json()).toMatchObject({
    type: '/problems/not-found',
    error: { code: 'not_found', type: 'invalid_request_error' },
  });
  const stored = await edge.request('/v1/responses/resp_1', { method: 'DELETE' });
  expect(stored.status).toBe(404);
  expect(await stored.json()).toEqual({ error: expect.objectContaining({ code: 'not_found' }) });
});
