/** OpenAI's own client, unchanged, at the running service: every call, streamed and not, errors, aborts, retries. */
import OpenAI, { APIError, NotFoundError, RateLimitError } from 'openai';
import type { ChatCompletionMessageParam } from 'openai/resources/chat/completions';
import type { ResponseStreamEvent } from 'openai/resources/responses/responses';
import { describe, expect, it } from 'vitest';
import {
  baseURL,
  CAPTION,
  dot,
  fillPlaces,
  imageUrl,
  LONG,
  MODEL,
  otherImageUrl,
  QUESTION,
  recordingFetch,
  untilAdmitted,
} from './service.ts';

const client = new OpenAI({ baseURL, apiKey: 'none', maxRetries: 0 });

/** A message of the user, with an image where there is one. */
const user = (text: string, url?: string): ChatCompletionMessageParam => ({
  role: 'user',
  content: [
    ...(text === '' ? [] : [{ type: 'text' as const, text }]),
    ...(url === undefined ? [] : [{ type: 'image_url' as const, image_url: { url } }]),
  ],
});
const asked = { model: MODEL, messages: [user(QUESTION, imageUrl)] };

/** The error that a call throws. */
async function errorOf(call: Promise<unknown>): Promise<APIError> {
  const error = await call.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(APIError);
  return error as APIError;
}

describe('models', () => {
  it('are listed and retrieved', async () => {
    const list = await Array.fromAsync(client.models.list());
    expect(list).toEqual([
      { id: MODEL, object: 'model', created: expect.any(Number), owned_by: 'blip2' },
    ]);
    const age = Date.now() / 1000 - (list[0]?.created ?? 0);
    expect(age).toBeGreaterThan(0);
    expect(age).toBeLessThan(10 * 365 * 86_400);
    expect(await client.models.retrieve(MODEL)).toMatchObject({ id: MODEL });
  });

  it('that are not served are not found, by a name with a slash too', async () => {
    for (const id of ['gpt-5', 'Salesforce/blip2-opt-2.7b']) {
      const error = await errorOf(client.models.retrieve(id));
      expect(error).toBeInstanceOf(NotFoundError);
      expect(error).toMatchObject({ status: 404, code: 'model_not_found', param: 'model' });
      expect(error.message).toContain(`"${id}"`);
      expect(error.requestID).toMatch(/\w/);
    }
  });
});

describe('chat.completions.create', () => {
  it('answers a question, with usage and the id of the request', async () => {
    const completion = await client.chat.completions.create(asked);
    expect(completion).toMatchObject({
      object: 'chat.completion',
      model: MODEL,
      choices: [
        {
          index: 0,
          message: { role: 'assistant', content: 'a pizza', refusal: null },
          logprobs: null,
          finish_reason: 'stop',
        },
      ],
    });
    expect(completion._request_id).toBe(completion.id.replace('chatcmpl-', ''));
    const { prompt_tokens, completion_tokens, total_tokens } = completion.usage!;
    expect(completion_tokens).toBe(2);
    expect(prompt_tokens).toBeGreaterThan(32);
    expect(total_tokens).toBe(prompt_tokens + completion_tokens);
    expect(Math.abs(completion.created - Date.now() / 1000)).toBeLessThan(60);
  });

  it.each([
    '',
    'Describe this image.',
    'Please describe the picture in one sentence',
    'Write a short caption for this image.',
  ])('captions an image where the text is %j', async (text) => {
    const { choices } = await client.chat.completions.create({
      model: MODEL,
      messages: [user(text, imageUrl)],
    });
    expect(choices[0]!.message.content).toBe(CAPTION);
  });

  it('reads the image of the first turn in a later one', async () => {
    const { choices } = await client.chat.completions.create({
      model: MODEL,
      messages: [
        { role: 'system', content: 'You are a helpful assistant.' },
        user('what is it?', imageUrl),
        { role: 'assistant', content: 'a pizza and an octopus' },
        { role: 'user', content: 'what color is the background?' },
      ],
    });
    expect(choices[0]!.message.content).toBe('gray');
  });

  it('answers about the latest image, and joins texts and images of one turn', async () => {
    const { choices } = await client.chat.completions.create({
      model: MODEL,
      messages: [
        user('what is it?', otherImageUrl),
        { role: 'assistant', content: 'I do not know' },
        user('', imageUrl),
        user(QUESTION),
      ],
    });
    expect(choices[0]!.message.content).toBe('a pizza');
  });

  it('writes n samples, the same for the same seed', async () => {
    const sample = () =>
      client.chat.completions.create({
        ...asked,
        messages: [user('', imageUrl)],
        n: 3,
        seed: -7,
        temperature: 3,
      });
    const [first, second] = [await sample(), await sample()];
    expect(first.choices.map(({ index }) => index)).toEqual([0, 1, 2]);
    expect(first.choices).toEqual(second.choices);
    expect(new Set(first.choices.map(({ message }) => message.content)).size).toBeGreaterThan(1);
  });

  it('writes n samples where only n is said', async () => {
    const { choices } = await client.chat.completions.create({ ...asked, n: 2 });
    expect(choices).toHaveLength(2);
  });

  it('reports log-probabilities with the bytes of tokens', async () => {
    const { choices } = await client.chat.completions.create({
      ...asked,
      logprobs: true,
      top_logprobs: 2,
    });
    const tokens = choices[0]!.logprobs!.content!;
    const bytes = tokens.flatMap((token) => token.bytes ?? []);
    expect(new TextDecoder().decode(Uint8Array.from(bytes))).toContain('a pizza');
    for (const { top_logprobs, logprob } of tokens) {
      expect(top_logprobs).toHaveLength(2);
      expect(logprob).toBeLessThanOrEqual(0);
    }
  });

  it('keeps to stop, max_tokens and max_completion_tokens', async () => {
    const caption = { model: MODEL, messages: [user('', imageUrl)] };
    const [stopped, ...cut] = await Promise.all([
      client.chat.completions.create({ ...caption, stop: [' octopus'] }),
      client.chat.completions.create({ ...caption, max_tokens: 2 }),
      client.chat.completions.create({ ...caption, max_completion_tokens: 2 }),
    ]);
    expect(stopped.choices[0]).toMatchObject({
      message: { content: 'a pizza above an' },
      finish_reason: 'stop',
    });
    for (const { choices, usage } of cut) {
      expect(choices[0]).toMatchObject({
        message: { content: 'a pizza' },
        finish_reason: 'length',
      });
      expect(usage!.completion_tokens).toBe(2);
    }
  });

  it('takes our own options beside the others', async () => {
    const extra = { num_beams: 3, n: 2, length_penalty: 1, no_repeat_ngram_size: 3 };
    const { choices } = await client.chat.completions.create({
      ...asked,
      ...extra,
    } as OpenAI.ChatCompletionCreateParamsNonStreaming);
    expect(choices).toHaveLength(2);
    expect(choices[0]!.message.content).toBe('a pizza');
  });

  it('repeats less with a frequency or a presence penalty', async () => {
    const long = { ...asked, min_tokens: 40, max_tokens: 40 };
    const words = async (penalties: object) => {
      const { choices } = await client.chat.completions.create({ ...long, ...penalties });
      return new Set(choices[0]!.message.content!.split(/\W+/)).size;
    };
    const plain = await words({});
    expect(await words({ frequency_penalty: 2 })).toBeGreaterThan(plain);
    expect(await words({ presence_penalty: 2, frequency_penalty: 0 })).toBeGreaterThan(plain);
  });

  it('accepts what changes no text', async () => {
    const { choices } = await client.chat.completions.create({
      ...asked,
      user: 'me',
      store: true,
      metadata: { a: 'b' },
      service_tier: 'auto',
      parallel_tool_calls: false,
      tools: [{ type: 'function', function: { name: 'f', parameters: { type: 'object' } } }],
      tool_choice: 'auto',
      response_format: { type: 'text' },
      logit_bias: {},
    });
    expect(choices[0]!.message.content).toBe('a pizza');
  });

  it('asks for an image where none was sent, whole and as a stream', async () => {
    const messages = [{ role: 'user' as const, content: 'Generate a title for this chat' }];
    const completion = await client.chat.completions.create({
      model: MODEL,
      messages,
      max_completion_tokens: 50,
    });
    expect(completion.choices[0]!.message.content).toMatch(/Send an image/);
    const runner = client.chat.completions.stream({ model: MODEL, messages });
    expect(await runner.finalContent()).toBe(completion.choices[0]!.message.content);
  });

  it('is parsed by .parse()', async () => {
    const { choices } = await client.chat.completions.parse(asked);
    expect(choices[0]!.message.content).toBe('a pizza');
  });
});

describe('chat.completions as a stream', () => {
  it('has the role first, then the words, the reason, and no chunk without choices', async () => {
    const stream = await client.chat.completions.create({ ...asked, stream: true });
    const chunks = await Array.fromAsync(stream);
    expect(chunks[0]!.choices[0]!.delta).toEqual({ role: 'assistant', content: '' });
    expect(chunks.map(({ choices }) => choices[0]!.delta.content ?? '').join('')).toBe('a pizza');
    expect(chunks.filter(({ choices }) => choices[0]!.delta.role !== undefined)).toHaveLength(1);
    expect(chunks.at(-1)).toMatchObject({
      choices: [{ finish_reason: 'stop', delta: {} }],
      usage: { completion_tokens: 2 },
    });
    expect(new Set(chunks.map(({ id }) => id)).size).toBe(1);
  });

  it('has the usage in a chunk of its own where that is asked for', async () => {
    const stream = await client.chat.completions.create({
      ...asked,
      stream: true,
      stream_options: { include_usage: true },
    });
    const chunks = await Array.fromAsync(stream);
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { completion_tokens: 2 } });
    for (const { usage, choices } of chunks.slice(0, -1)) {
      expect(usage).toBeNull();
      expect(choices).toHaveLength(1);
    }
  });

  it('is assembled by .stream(), with several texts and log-probabilities', async () => {
    const options = { n: 2, temperature: 1, seed: 3, logprobs: true, top_logprobs: 1 };
    const runner = client.chat.completions.stream({ ...asked, ...options });
    const { choices } = await runner.finalChatCompletion();
    const whole = await client.chat.completions.create({ ...asked, ...options });
    expect(choices.map(({ message }) => message.content)).toEqual(
      whole.choices.map(({ message }) => message.content),
    );
    for (const [index, { logprobs }] of choices.entries()) {
      expect(logprobs!.content).toEqual(whole.choices[index]!.logprobs!.content);
    }
  });

  it('frees its place as soon as the loop is left, or aborted', async () => {
    const long = { ...asked, ...LONG, stream: true as const };
    for await (const _chunk of await client.chat.completions.create(long)) break;
    await untilAdmitted(0);
    const controller = new AbortController();
    const { signal } = controller;
    const stream = await client.chat.completions.create(long, { signal });
    const read = Array.fromAsync(stream);
    await untilAdmitted(1);
    controller.abort();
    await read.catch(() => {});
    await untilAdmitted(0);
  });

  it('sends its headers before its first word', async () => {
    await using _filled = await fillPlaces(7);
    const response = await client.chat.completions
      .create({ ...asked, stream: true }, { timeout: 5000 })
      .asResponse();
    const reader = response.body!.getReader();
    const { value } = await reader.read();
    expect(new TextDecoder().decode(value)).toMatch(/^: ok\n\ndata: .*"role":"assistant"/);
    await reader.cancel();
  });
});

describe('responses', () => {
  const input: OpenAI.Responses.ResponseInput = [
    {
      role: 'user',
      content: [
        { type: 'input_text', text: QUESTION },
        { type: 'input_image', image_url: imageUrl, detail: 'auto' },
      ],
    },
  ];

  it('answer, with usage, and store nothing', async () => {
    const response = await client.responses.create({
      model: MODEL,
      input,
      instructions: 'Answer briefly.',
      store: true,
      metadata: { a: 'b' },
    });
    expect(response.output_text).toBe('a pizza');
    expect(response).toMatchObject({
      object: 'response',
      status: 'completed',
      model: MODEL,
      store: false,
      error: null,
      instructions: 'Answer briefly.',
      metadata: { a: 'b' },
      output: [{ type: 'message', role: 'assistant', content: [{ annotations: [] }] }],
      usage: { output_tokens: 2, input_tokens_details: { cached_tokens: 0 } },
    });
    const { input_tokens, output_tokens, total_tokens } = response.usage!;
    expect(total_tokens).toBe(input_tokens + output_tokens);
    expect(await errorOf(client.responses.retrieve(response.id))).toBeInstanceOf(NotFoundError);
    expect(await errorOf(client.responses.delete(response.id))).toBeInstanceOf(NotFoundError);
  });

  it('are incomplete where the text ends at max_output_tokens', async () => {
    const response = await client.responses.create({ model: MODEL, input, max_output_tokens: 1 });
    expect(response).toMatchObject({
      status: 'incomplete',
      incomplete_details: { reason: 'max_output_tokens' },
      usage: { output_tokens: 1 },
    });
  });

  it('read a text, and a conversation with earlier replies', async () => {
    const { output_text } = await client.responses.create({ model: MODEL, input: 'hello' });
    expect(output_text).toMatch(/Send an image/);
    const first = await client.responses.create({ model: MODEL, input });
    const second = await client.responses.create({
      model: MODEL,
      input: [
        ...input,
        ...(first.output as OpenAI.Responses.ResponseInputItem[]),
        { role: 'user', content: 'what color is the background?' },
      ],
    });
    expect(second.output_text).toBe('gray');
  });

  it('come as the events that the helper checks', async () => {
    const events: ResponseStreamEvent[] = [];
    const runner = client.responses.stream({ model: MODEL, input });
    for await (const event of runner) events.push(event);
    const names = events.map(({ type }) => type);
    const deltas = names.filter((name) => name === 'response.output_text.delta');
    expect(deltas.length).toBeGreaterThan(1);
    expect(names).toEqual([
      'response.created',
      'response.in_progress',
      'response.output_item.added',
      'response.content_part.added',
      ...deltas,
      'response.output_text.done',
      'response.content_part.done',
      'response.output_item.done',
      'response.completed',
    ]);
    expect(events.map(({ sequence_number }) => sequence_number)).toEqual([...events.keys()]);
    const final = await runner.finalResponse();
    expect(final.output_text).toBe('a pizza');
    expect(final.usage).toMatchObject({ output_tokens: 2 });
  });

  it('report log-probabilities where include asks for them', async () => {
    const response = await client.responses.create({
      model: MODEL,
      input,
      include: ['message.output_text.logprobs'],
      top_logprobs: 2,
    });
    const [message] = response.output;
    const [part] = message?.type === 'message' ? message.content : [];
    expect(part).toMatchObject({ logprobs: expect.arrayContaining([expect.anything()]) });
  });

  it('free their place when the stream is left', async () => {
    const stream = await client.responses.create({
      model: MODEL,
      input,
      max_output_tokens: 200,
      min_tokens: 200,
      stream: true,
    } as OpenAI.Responses.ResponseCreateParamsStreaming);
    for await (const event of stream) if (event.type === 'response.output_text.delta') break;
    await untilAdmitted(0);
  });

  it.each<[string, object]>([
    ['previous_response_id', { previous_response_id: 'resp_1' }],
    ['background', { background: true }],
    ['conversation', { conversation: 'conv_1' }],
    ['text.format', { text: { format: { type: 'json_object' } } }],
    ['tool_choice', { tool_choice: 'required' }],
    ['reasoning.effort', { reasoning: { effort: 'high' } }],
  ])('refuse %s', async (param, members) => {
    const error = await errorOf(client.responses.create({ model: MODEL, input, ...members }));
    expect(error).toMatchObject({ status: 400, code: 'unsupported_parameter', param });
  });
});

describe('embeddings', () => {
  it('of texts and images compare, as base64, which the client asks for by itself, and as numbers', async () => {
    const input = [imageUrl, CAPTION, 'a blue anchor', 'two cows'];
    const { data, usage } = await client.embeddings.create({ model: MODEL, input });
    const [image, ...texts] = data.map(({ embedding }) => embedding);
    const scores = texts.map((text) => dot(text, image!));
    expect(Math.max(...scores)).toBe(scores[0]);
    for (const vector of [image!, ...texts]) expect(dot(vector, vector)).toBeCloseTo(1, 3);
    expect(usage.prompt_tokens).toBeGreaterThan(32);
    const numbers = await client.embeddings.create({
      model: MODEL,
      input,
      encoding_format: 'float',
    });
    for (const [i, { embedding }] of numbers.data.entries()) {
      expect(dot(embedding, data[i]!.embedding)).toBeCloseTo(1, 5);
    }
  });

  it('of more texts than the model takes at once come in their order', async () => {
    const input = Array.from({ length: 70 }, (_, i) => `${i} dogs`);
    const { data } = await client.embeddings.create({ model: MODEL, input });
    const { data: last } = await client.embeddings.create({ model: MODEL, input: '69 dogs' });
    expect(data).toHaveLength(70);
    expect(dot(data[69]!.embedding, last[0]!.embedding)).toBeCloseTo(1, 4);
  });

  it.each<[string, object, string]>([
    ['token ids', { input: [[1, 2]] }, 'input.0'],
    ['nothing', { input: '' }, 'input'],
    ['another width', { input: 'a', dimensions: 8 }, 'dimensions'],
    ['a damaged image', { input: ['a', 'data:image/png;base64,!'] }, 'input.1'],
    ['another model', { input: 'a', model: 'x' }, 'model'],
    ['an unknown member', { input: 'a', kind: 'itc' }, 'kind'],
  ])('of %s are refused', async (_what, members, param) => {
    const body = { model: MODEL, input: 'a', ...members };
    const error = await errorOf(client.embeddings.create(body as OpenAI.EmbeddingCreateParams));
    expect(error).toMatchObject({ param });
    expect(error.requestID).toMatch(/\w/);
  });
});

describe('errors', () => {
  it.each<[string, object, Partial<APIError>]>([
    [
      'another model',
      { model: 'gpt-4o' },
      { status: 404, code: 'model_not_found', param: 'model' },
    ],
    [
      'JSON as a format',
      { response_format: { type: 'json_object' } },
      { code: 'unsupported_parameter', param: 'response_format' },
    ],
    ['a call that must be made', { tool_choice: 'required' }, { code: 'unsupported_parameter' }],
    ['a bias', { logit_bias: { 5: 1 } }, { code: 'unsupported_parameter', param: 'logit_bias' }],
    ['no messages', { messages: [] }, { param: 'messages' }],
    ['an unknown member', { color: 'red' }, { param: 'color' }],
    ['a number out of range', { top_p: 2 }, { param: 'top_p' }],
    [
      'two images in one message',
      {
        messages: [
          {
            role: 'user',
            content: [imageUrl, otherImageUrl].map((url) => ({
              type: 'image_url',
              image_url: { url },
            })),
          },
        ],
      },
      { code: 'several_images', param: 'messages.0.content.1.image_url.url' },
    ],
    [
      'a file without a name',
      { messages: [{ role: 'user', content: [{ type: 'file', file: {} }] }] },
      { code: 'no_image', param: 'messages.0.content.0.file' },
    ],
    [
      'an address that is not of the web',
      { messages: [user('', 'file:///etc/passwd')] },
      { code: 'image_url_refused', param: 'messages.0.content.0.image_url.url' },
    ],
    [
      'raw bytes as base64',
      { messages: [user('', 'data:image/png;base64,\u0089PNG\r\n')] },
      { code: 'invalid_image' },
    ],
    [
      'bytes that are no image',
      { messages: [user('', 'data:image/png;base64,aGVsbG8gd29ybGQ=')] },
      { code: 'invalid_image' },
    ],
    [
      'too long a text',
      { messages: [user('word '.repeat(400), imageUrl)] },
      { code: 'context_length_exceeded', param: 'messages' },
    ],
  ])('name what is wrong with %s, streamed or not', async (_what, members, expected) => {
    for (const stream of [false, true]) {
      const body = { ...asked, ...members, stream } as OpenAI.ChatCompletionCreateParams;
      const error = await errorOf(client.chat.completions.create(body));
      expect(error).toMatchObject({ status: 400, type: 'invalid_request_error', ...expected });
      expect(error.message).toMatch(/^4\d\d \w/);
      expect(error.requestID).toMatch(/\w/);
    }
  });

  it('of a path that is not there, and of another method, have the same form', async () => {
    expect(await errorOf(client.completions.create({ model: MODEL, prompt: 'a' }))).toMatchObject({
      status: 404,
      code: 'not_found',
    });
    expect(await errorOf(client.get('/chat/completions'))).toMatchObject({
      status: 405,
      code: 'method_not_allowed',
    });
    expect(await errorOf(client.get('/nothing'))).toMatchObject({ status: 404, code: 'not_found' });
  });

  it('of a body that is no JSON have the same form', async () => {
    const response = await fetch(`${baseURL}/chat/completions`, { method: 'POST', body: '{' });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ error: { code: 'invalid_json' } });
  });
});

describe('a caller with too many requests', () => {
  /** A cached reply would be there for this caller, too. */
  const headers = { 'cache-control': 'no-cache' };

  it('gets 429 at once, streamed or not, with the seconds to wait', async () => {
    await using _filled = await fillPlaces();
    const errors = [false, true].map((stream) =>
      errorOf(client.chat.completions.create({ ...asked, stream }, { headers })),
    );
    for (const error of await Promise.all(errors)) {
      expect(error).toBeInstanceOf(RateLimitError);
      expect(error).toMatchObject({ code: 'rate_limit_exceeded', type: 'rate_limit_error' });
      expect(error.headers!.get('retry-after')).toBe('1');
    }
  });

  it('gets its answer by the retry of the client', async () => {
    const { fetch, sent } = recordingFetch();
    const retrying = new OpenAI({ baseURL, apiKey: 'none', fetch });
    const filled = await fillPlaces();
    const answer = retrying.chat.completions.create(asked, { headers });
    await expect.poll(() => sent.length, { interval: 5, timeout: 10_000 }).toBe(1);
    await filled[Symbol.asyncDispose]();
    expect((await answer).choices[0]!.message.content).toBe('a pizza');
    expect(sent.map(({ headers }) => headers.get('x-stainless-retry-count'))).toEqual(['0', '1']);
    expect(sent.map(({ status }) => status)).toEqual([429, 200]);
  });
});
