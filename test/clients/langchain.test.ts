/** LangChain's client of OpenAI, unchanged, at the running service. */
import {
  AIMessage,
  type AIMessageChunk,
  HumanMessage,
  SystemMessage,
  ToolMessage,
} from '@langchain/core/messages';
import { ChatOpenAI, OpenAIEmbeddings } from '@langchain/openai';
import { describe, expect, it } from 'vitest';
import {
  baseURL,
  CAPTION,
  dot,
  imageUrl,
  LONG,
  MODEL,
  QUESTION,
  untilAdmitted,
} from './service.ts';

const configuration = { baseURL };
const common = { model: MODEL, apiKey: 'none', maxRetries: 0, configuration };
const asked = new HumanMessage({
  content: [
    { type: 'text', text: QUESTION },
    { type: 'image_url', image_url: { url: imageUrl, detail: 'auto' } },
  ],
});

describe.each([
  ['chat completions', { ...common }],
  ['Responses', { ...common, useResponsesApi: true }],
])('with %s', (_name, fields) => {
  const model = new ChatOpenAI(fields);

  it('is invoked', async () => {
    const reply = await model.invoke([asked]);
    expect(reply.text).toBe('a pizza');
    expect(reply.usage_metadata).toMatchObject({ output_tokens: 2 });
  });

  it('streams, with usage', async () => {
    const chunks: AIMessageChunk[] = [];
    for await (const chunk of await model.stream([asked])) chunks.push(chunk);
    const whole = chunks.reduce((all, chunk) => all.concat(chunk));
    expect(whole.text).toBe('a pizza');
    expect(whole.usage_metadata).toMatchObject({ output_tokens: 2 });
  });

  it('goes on with a conversation', async () => {
    const reply = await model.invoke([
      new SystemMessage('You are a helpful assistant.'),
      asked,
      new AIMessage('a pizza'),
      new HumanMessage('what color is the background?'),
    ]);
    expect(reply.text).toBe('gray');
  });

  it('goes on with a history in which an agent has called a tool', async () => {
    const reply = await model.invoke([
      asked,
      new AIMessage({ content: '', tool_calls: [{ id: 'a', name: 'look', args: { at: 'it' } }] }),
      new ToolMessage({ content: 'nothing', tool_call_id: 'a' }),
      new AIMessage('a pizza'),
      new HumanMessage('what color is the background?'),
    ]);
    expect(reply.text).toBe('gray');
  });

  it('answers who sends no image, as front ends do for titles', async () => {
    const title = 'Generate a concise title for this chat: hello';
    const reply = await model.invoke([new HumanMessage(title)]);
    expect(reply.text).toMatch(/image/i);
  });

  it('runs a batch', async () => {
    const replies = await model.batch([[asked], [new HumanMessage('hello')]]);
    expect(replies.map(({ text }) => text)).toEqual([
      'a pizza',
      expect.stringMatching(/Send an image/),
    ]);
  });

  it('throws what is wrong', async () => {
    const other = new ChatOpenAI({ ...fields, model: 'gpt-4o' });
    await expect(other.invoke([asked])).rejects.toMatchObject({
      status: 404,
      message: expect.stringMatching(/"gpt-4o" is not served/),
    });
  });

  it('refuses structured output', async () => {
    const schema = { title: 'Thing', type: 'object', properties: { name: { type: 'string' } } };
    const structured = model.withStructuredOutput(schema, { method: 'jsonSchema' });
    await expect(structured.invoke([asked])).rejects.toMatchObject({ status: 400 });
  });

  it('frees its place when it is aborted', async () => {
    const controller = new AbortController();
    const long = new ChatOpenAI({ ...fields, modelKwargs: LONG });
    const read = async () => {
      const options = { signal: controller.signal };
      for await (const _chunk of await long.stream([asked], options)) controller.abort();
    };
    await read().catch(() => {});
    await untilAdmitted(0);
  });
});

it('options of ours reach the model', async () => {
  const model = new ChatOpenAI({ ...common, modelKwargs: { num_beams: 3, min_tokens: 4 } });
  const { text } = await model.invoke([asked]);
  expect(text.split(' ').length).toBeGreaterThan(2);
});

it('embeddings are the same as numbers and as base64, for which its client asks by itself', async () => {
  const [numbers, bytes] = await Promise.all(
    [{ encodingFormat: 'float' as const }, {}].map((fields) =>
      new OpenAIEmbeddings({ ...common, ...fields }).embedQuery(CAPTION),
    ),
  );
  expect(numbers).toHaveLength(bytes!.length);
  for (const [i, value] of numbers!.entries()) expect(bytes![i]).toBeCloseTo(value, 6);
});

it('texts and queries are embedded', async () => {
  const embeddings = new OpenAIEmbeddings({ ...common, batchSize: 2 });
  const documents = await embeddings.embedDocuments([CAPTION, 'a blue anchor', imageUrl]);
  const query = await embeddings.embedQuery(CAPTION);
  expect(dot(query, documents[0]!)).toBeCloseTo(1, 4);
  expect(dot(documents[0]!, documents[2]!)).toBeGreaterThan(dot(documents[1]!, documents[2]!));
});
