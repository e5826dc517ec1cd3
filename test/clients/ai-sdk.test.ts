/** Vercel's AI SDK, unchanged, at the running service: Responses by default, chat, and any compatible service. */
import { createOpenAI } from '@ai-sdk/openai';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import {
  APICallError,
  embed,
  embedMany,
  generateObject,
  generateText,
  jsonSchema,
  type ModelMessage,
  RetryError,
  streamText,
  tool,
} from 'ai';
import { describe, expect, it } from 'vitest';
import {
  baseURL,
  CAPTION,
  dot,
  fillPlaces,
  imageBytes,
  imageUrl,
  MODEL,
  QUESTION,
  recordingFetch,
  untilAdmitted,
} from './service.ts';

const openai = createOpenAI({ baseURL, apiKey: 'none' });
const compatible = createOpenAICompatible({ baseURL, name: 'blip2', apiKey: 'none' });

const MODELS = {
  Responses: openai(MODEL),
  chat: openai.chat(MODEL),
  'a compatible service': compatible(MODEL),
};
const models = Object.entries(MODELS);

const asked: ModelMessage[] = [
  {
    role: 'user',
    content: [
      { type: 'text', text: QUESTION },
      { type: 'file', mediaType: 'image/webp', data: imageBytes },
    ],
  },
];

/** What a call throws. */
const thrownBy = (call: PromiseLike<unknown>): Promise<unknown> =>
  Promise.resolve(call).then(
    () => null,
    (thrown: unknown) => thrown,
  );

describe.each(models)('with %s', (name, model) => {
  it('generates an answer, with usage and the reason for its end', async () => {
    const { text, usage, finishReason, response } = await generateText({ model, messages: asked });
    expect(text).toBe('a pizza');
    expect(finishReason).toBe('stop');
    expect(usage.outputTokens).toBe(2);
    expect(usage.inputTokens).toBeGreaterThan(32);
    expect(response.headers!['x-request-id']).toMatch(/\w/);
  });

  it('streams an answer, and counts its tokens', async () => {
    const { textStream, usage, finishReason } = streamText({ model, messages: asked });
    const parts = await Array.fromAsync(textStream);
    expect(parts.join('')).toBe('a pizza');
    expect(parts.length).toBeGreaterThan(1);
    expect(await finishReason).toBe('stop');
    expect((await usage).outputTokens).toBe(2);
  });

  it('goes on with a conversation, after a system message', async () => {
    const { text } = await generateText({
      model,
      system: 'You are a helpful assistant.',
      messages: [
        ...asked,
        { role: 'assistant', content: 'a pizza' },
        { role: 'user', content: 'what color is the background?' },
      ],
      temperature: 0,
      maxOutputTokens: 10,
    });
    expect(text).toBe('gray');
  });

  it('goes on after its own reply, which the SDK sends back in its way', async () => {
    const first = await generateText({ model, messages: asked });
    const streamed = streamText({ model, messages: asked });
    await streamed.consumeStream();
    for (const { messages } of [await first.response, await streamed.response]) {
      const { text } = await generateText({
        model,
        messages: [
          ...asked,
          ...messages,
          { role: 'user', content: 'what color is the background?' },
        ],
      });
      expect(text).toBe('gray');
    }
  });

  it('takes an image as a file of any form, and as the older part of an image', async () => {
    const base64 = imageBytes.toString('base64');
    const file = { type: 'file' as const, mediaType: 'image/webp' };
    for (const image of [
      { ...file, data: base64 },
      { ...file, data: imageBytes, mediaType: 'image' },
      { ...file, data: new Uint8Array(imageBytes), filename: 'scene.webp' },
      { ...file, data: { type: 'data' as const, data: imageBytes } },
      { ...file, data: new URL(imageUrl) },
      { type: 'image' as const, image: imageUrl },
      { type: 'image' as const, image: imageBytes },
      { type: 'image' as const, image: base64, mediaType: 'image/webp' },
    ]) {
      const { text } = await generateText({
        model,
        messages: [{ role: 'user', content: [image] }],
      });
      expect(text).toBe(CAPTION);
    }
  });

  it('says that the text ended for want of tokens', async () => {
    const cut = await generateText({ model, messages: asked, maxOutputTokens: 1 });
    expect(cut.finishReason).toBe('length');
    const stream = streamText({ model, messages: asked, maxOutputTokens: 1 });
    await stream.consumeStream();
    expect(await stream.finishReason).toBe('length');
  });

  it('answers in text where tools are offered', async () => {
    const tools = {
      look: tool({
        description: 'Looks.',
        inputSchema: jsonSchema<object>({ type: 'object', properties: {} }),
        execute: () => 'nothing',
      }),
    };
    const { text, toolCalls } = await generateText({ model, messages: asked, tools });
    expect(text).toBe('a pizza');
    expect(toolCalls).toEqual([]);
  });

  it('goes on with a history in which another model has called a tool', async () => {
    const call = { toolCallId: 'a', toolName: 'look' };
    const { text } = await generateText({
      model,
      messages: [
        ...asked,
        { role: 'assistant', content: [{ type: 'tool-call', ...call, input: { at: 'it' } }] },
        {
          role: 'tool',
          content: [{ type: 'tool-result', ...call, output: { type: 'text', value: 'nothing' } }],
        },
        { role: 'assistant', content: 'a pizza' },
        { role: 'user', content: 'what color is the background?' },
      ],
    });
    expect(text).toBe('gray');
  });

  it('answers who sends no image', async () => {
    const { text } = await generateText({ model, prompt: 'Generate a title.' });
    expect(text).toMatch(/Send an image/);
  });

  it('refuses an object, of which JSON is expected', async () => {
    const schema = jsonSchema<object>({ type: 'object', properties: { a: { type: 'string' } } });
    const thrown = await thrownBy(
      generateObject({ model, messages: asked, schema, maxRetries: 0 }),
    );
    expect(thrown).toBeInstanceOf(APICallError);
    expect(thrown).toMatchObject({ statusCode: 400, isRetryable: false });
    expect((thrown as APICallError).message).toMatch(/JSON/);
  });

  it('throws what is wrong, with our words', async () => {
    const messages: ModelMessage[] = [
      {
        role: 'user',
        content: [{ type: 'text', text: 'word '.repeat(400) }, ...(asked[0]!.content as [])],
      },
    ];
    const thrown = await thrownBy(generateText({ model, messages }));
    expect(thrown).toMatchObject({ statusCode: 400, isRetryable: false });
    expect((thrown as APICallError).message).toMatch(/tokens; beside the image there is room/);
    const damaged = await thrownBy(
      generateText({
        model,
        messages: [
          {
            role: 'user',
            content: [{ type: 'file', mediaType: 'image/webp', data: imageBytes.subarray(0, 900) }],
          },
        ],
      }),
    );
    expect(damaged).toMatchObject({ statusCode: 400 });
  });

  it('frees its place when it is aborted', async () => {
    const controller = new AbortController();
    // Sampled far from what is likely, a text hardly ends by itself.
    const stream = streamText({
      model,
      messages: asked,
      maxOutputTokens: 200,
      temperature: 5,
      abortSignal: controller.signal,
      onError: () => {},
    });
    for await (const _part of stream.textStream) {
      controller.abort();
      break;
    }
    await untilAdmitted(0);
    expect(name).toBeTruthy();
  });
});

it('options of ours reach the model through a compatible service', async () => {
  const { fetch, sent } = recordingFetch();
  const provider = createOpenAICompatible({ baseURL, name: 'blip2', fetch });
  const { text } = await generateText({
    model: provider(MODEL),
    messages: asked,
    providerOptions: { blip2: { num_beams: 3, min_tokens: 4 } },
  });
  expect(text.split(' ').length).toBeGreaterThan(2);
  expect(sent.map(({ path }) => path)).toEqual(['/v1/chat/completions']);
});

describe('embeddings', () => {
  it.each([
    ['openai', openai.embedding(MODEL)],
    ['a compatible service', compatible.embeddingModel(MODEL)],
  ])('of %s', async (_name, model) => {
    const { embeddings, usage } = await embedMany({
      model,
      values: [CAPTION, 'a blue anchor', imageUrl],
    });
    const [right, wrong, image] = embeddings;
    expect(dot(right!, image!)).toBeGreaterThan(dot(wrong!, image!));
    expect(usage.tokens).toBeGreaterThan(32);
    const { embedding } = await embed({ model, value: CAPTION });
    expect(dot(embedding, right!)).toBeCloseTo(1, 4);
  });
});

describe('errors', () => {
  it('of a model that is not served', async () => {
    for (const model of [openai('blip3'), openai.chat('blip3'), compatible('blip3')]) {
      const thrown = await thrownBy(generateText({ model, messages: asked }));
      expect(thrown).toBeInstanceOf(APICallError);
      expect(thrown).toMatchObject({ statusCode: 404 });
      expect((thrown as APICallError).message).toMatch(/"blip3" is not served/);
    }
  });

  it('that pass are tried again by the SDK, and named in the end', async () => {
    const { fetch, sent } = recordingFetch();
    // A cached reply would be there for this caller, too.
    const headers = { 'cache-control': 'no-cache' };
    const busy = createOpenAI({ baseURL, apiKey: 'none', headers, fetch });
    const filled = await fillPlaces();
    const thrown = await thrownBy(
      generateText({ model: busy(MODEL), messages: asked, maxRetries: 0 }),
    );
    await filled[Symbol.asyncDispose]();
    expect(thrown instanceof RetryError ? thrown.lastError : thrown).toMatchObject({
      statusCode: 429,
    });
    expect(sent[0]).toMatchObject({ path: '/v1/responses', status: 429 });
  });
});
