/** Front ends by the requests that they send: Open WebUI with its tasks, and LibreChat, which calls through LangChain's client. */
import { AIMessage, HumanMessage, SystemMessage } from '@langchain/core/messages';
import { ChatOpenAI } from '@langchain/openai';
import { describe, expect, it } from 'vitest';
import { baseURL, imageUrl, MODEL, QUESTION } from './service.ts';

const image = { type: 'image_url', image_url: { url: imageUrl } };
const headers = { authorization: 'Bearer none', 'content-type': 'application/json' };
const post = (body: object) =>
  fetch(`${baseURL}/chat/completions`, { method: 'POST', headers, body: JSON.stringify(body) });

describe('Open WebUI', () => {
  it('finds the model in the list', async () => {
    const reply = await fetch(`${baseURL}/models`, { headers });
    const { data } = (await reply.json()) as { data: { id: string }[] };
    expect(data.map(({ id }) => id)).toContain(MODEL);
  });

  it('streams a conversation whose image is in its first message', async () => {
    const reply = await post({
      model: MODEL,
      stream: true,
      stream_options: { include_usage: true },
      messages: [
        { role: 'system', content: 'You are a helpful assistant.' },
        { role: 'user', content: [{ type: 'text', text: QUESTION }, image] },
        { role: 'assistant', content: 'a pizza' },
        { role: 'user', content: 'what color is the background?' },
      ],
    });
    expect(reply.headers.get('content-type')).toMatch(/^text\/event-stream/);
    const chunks = (await reply.text())
      .split('\n')
      .filter((line) => line.startsWith('data: {'))
      .map((line) => JSON.parse(line.slice('data: '.length)));
    const text = chunks.map(({ choices: [choice] }) => choice?.delta.content ?? '').join('');
    expect(text).toBe('gray');
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { completion_tokens: 1 } });
  });

  it('goes on with a history in which another model has called tools', async () => {
    const reply = await post({
      model: MODEL,
      stream: false,
      messages: [
        { role: 'user', content: [{ type: 'text', text: QUESTION }, image] },
        {
          role: 'assistant',
          content: null,
          tool_calls: [
            { index: 0, id: 'a', type: 'function', function: { name: 'look', arguments: '{}' } },
          ],
        },
        { role: 'tool', tool_call_id: 'a', content: 'nothing' },
        { role: 'assistant', content: 'a pizza' },
        { role: 'user', content: 'what color is the background?' },
      ],
    });
    expect(await reply.json()).toMatchObject({ choices: [{ message: { content: 'gray' } }] });
  });

  it('gets a sentence for the title of a chat, and no error', async () => {
    const prompt =
      '### Task:\nGenerate a concise title for the chat.\n### Output:\nJSON format: { "title": "" }\n';
    const reply = await post({
      model: MODEL,
      messages: [{ role: 'user', content: prompt }],
      stream: false,
      max_completion_tokens: 1000,
    });
    expect(reply.status).toBe(200);
    const content = expect.stringMatching(/^Send an image/);
    expect(await reply.json()).toMatchObject({ choices: [{ message: { content } }] });
  });
});

describe('LibreChat', () => {
  it('streams with the parameters that it always sends but a temperature', async () => {
    const model = new ChatOpenAI({
      model: MODEL,
      apiKey: 'none',
      configuration: { baseURL },
      topP: 1,
      presencePenalty: 0,
      frequencyPenalty: 0,
      user: 'librechat-user-1',
      streamUsage: true,
    });
    const messages = [
      new SystemMessage({ content: 'You are a helpful assistant.', name: 'instructions' }),
      new HumanMessage({ content: [{ type: 'text', text: QUESTION }, image] }),
      new AIMessage('a pizza'),
      new HumanMessage({ content: [{ type: 'text', text: 'what color is the background?' }] }),
    ];
    let text = '';
    for await (const chunk of await model.stream(messages)) text += chunk.text;
    expect(text).toBe('gray');
  });
});
