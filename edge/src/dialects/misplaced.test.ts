/** What holds an image, a file or a text in a place that is not read is refused in every dialect; what clients add goes on. */
import { beforeEach, describe, expect, it } from 'vitest';
import { base64, newImage, startEdge, type TestEdge } from '../testing/edge.ts';
import { generative, retrieval } from '../testing/models.ts';

let edge: TestEdge;
beforeEach(() => {
  edge = startEdge();
});

const { name: model } = generative;
const data = base64(newImage());
const url = `data:image/png;base64,${data}`;
const asked = 'what is it?';

const CHAT = '/v1/chat/completions';
const chat = (message: object, ...others: object[]) => ({
  model,
  messages: [...others, { role: 'user', content: asked, ...message }],
});
const chatPart = (...parts: object[]) => chat({ content: parts });
const RESPONSES = '/v1/responses';
const response = (...items: object[]) => ({ model, input: items });
const said = (members: object) => ({ role: 'user', content: asked, ...members });
const responsePart = (part: object) => response(said({ content: [part] }));
const ollama = (message: object) => ({ model, stream: false, messages: [said(message)] });
const called = { type: 'function_call', call_id: 'a', name: 'look_up', arguments: '{}' };
const labels = { candidate_labels: ['a dog', 'a cat'] };

type Case = [path: string, field: string, body: object, remedy: string];

const MISPLACED: Case[] = [
  ...[CHAT, '/hf/v1/chat/completions'].flatMap((path): Case[] => [
    [path, 'messages.0.images', chat({ images: [data] }), '{type: "image_url", image_url: {url}}'],
    [path, 'messages.0.image', chat({ image: url }), 'put the image into content'],
    [path, 'messages.0.imageUrl', chat({ imageUrl: { url } }), 'put the image into content'],
    [path, 'messages.0.image_url', chat({ image_url: { url } }), 'put the image into content'],
    [path, 'messages.0.file_ids', chat({ file_ids: ['file-1'] }), 'put the image into content'],
    [path, 'messages.0.attachments', chat({ attachments: [{ file_id: 'file-1' }] }), 'content'],
    [
      path,
      'messages.0.experimental_attachments',
      chat({ experimental_attachments: [{ url }] }),
      '',
    ],
    [
      path,
      'messages.0.url',
      chat({ url: 'https://a.example/a.png' }),
      'put the image into content',
    ],
    [path, 'messages.0.extra', chat({ extra: { deep: [url] } }), 'put the image into content'],
    [path, 'messages.0.extra', chat({ extra: data }), 'put the image into content'],
    [
      path,
      'messages.0.text',
      chat({ content: undefined, text: asked }),
      'put the text into content',
    ],
    [path, 'messages.0.parts', chat({ content: undefined, parts: [{ type: 'text' }] }), 'content'],
    [path, 'messages.0.audio', chat({ audio: { id: 'audio_1' } }), 'one image, and texts'],
    [path, 'messages.0.content', chat({ content: undefined, contant: asked }), 'is required'],
    [path, 'image', { ...chat({}), image: url }, 'the content of a message'],
    [path, 'images', { ...chat({}), images: [url] }, 'the content of a message'],
    [path, 'prompt', { ...chat({}), prompt: 'x' }, 'the content of a message'],
    [path, 'max_length', { ...chat({}), max_length: 9 }, 'use max_tokens'],
  ]),
  [
    CHAT,
    'messages.0.content.0.image_url',
    chatPart({ type: 'text', text: asked, image_url: { url } }),
    'send the image as {type: "image_url", image_url: {url}}',
  ],
  [
    CHAT,
    'messages.0.content.0.text',
    chatPart({ type: 'image_url', image_url: { url }, text: asked }),
    'in a part of its own',
  ],
  [
    CHAT,
    'messages.0.content.0.image_url.data',
    chatPart({ type: 'image_url', image_url: { url: 'https://a.example/a.png', data } }),
    'send the image as',
  ],
  [
    CHAT,
    'messages.0.content.0.file.file_url',
    chatPart({ type: 'file', file: { file_id: 'file-1', file_url: url } }),
    'send the image as',
  ],
  ['/moondream/v1/query', 'question', { question: url }, 'send the image as image_url'],
  ['/hf/visual-question-answering', 'question', { inputs: url, question: url }, 'inputs.image'],
  ['/replicate/v1/predictions', 'input.question', { input: { image: url, question: data } }, ''],
  ['/v1/answers', 'question', { image: url, question: url }, 'send it as image'],
  [CHAT, 'messages.0.content', chat({ content: url }), 'is an image, and read as a text: put'],
  [CHAT, 'messages.0.content.0.text', chatPart({ type: 'text', text: data }), 'is an image'],
  [RESPONSES, 'input', { model, input: url }, 'is an image'],
  [RESPONSES, 'input.0.content', response(said({ content: url })), 'is an image'],
  ['/api/chat', 'messages.0.content', ollama({ content: data }), 'put the image into images'],
  ['/api/generate', 'prompt', { model, prompt: url }, 'put the image into images'],
  [CHAT, 'messages.0.content.0.text', chatPart({ type: 'text' }), 'is required'],
  [
    CHAT,
    'messages.0.content.0.type',
    chatPart({ type: 'image', image: url }),
    '{type: "text", text}',
  ],
  [
    RESPONSES,
    'input.0.images',
    response(said({ images: [url] })),
    '{type: "input_image", image_url}',
  ],
  [RESPONSES, 'input.0.file_ids', response(said({ file_ids: ['file-1'] })), 'into content'],
  [RESPONSES, 'input.0.attachments', response(said({ attachments: [{}] })), 'into content'],
  [RESPONSES, 'input.0.text', response(said({ text: 'x' })), 'put the text into content'],
  [
    RESPONSES,
    'input.1.image_url',
    response(called, { type: 'function_call_output', call_id: 'a', output: 'x', image_url: url }),
    'put the image into output',
  ],
  [
    RESPONSES,
    'input.1.output',
    response(called, { type: 'function_call_output', call_id: 'a', output: 5 }),
    'must be of type string or array',
  ],
  [
    RESPONSES,
    'input.0.content.0.image_url',
    responsePart({ type: 'input_text', text: asked, image_url: url }),
    'send the image as {type: "input_image", image_url}',
  ],
  [
    RESPONSES,
    'input.0.content.0.text',
    responsePart({ type: 'input_image', image_url: url, text: asked }),
    'in a part of its own',
  ],
  [RESPONSES, 'images', { ...response(said({})), images: [url] }, 'a message of input'],
  [RESPONSES, 'messages', { ...response(said({})), messages: [] }, 'put the text into input'],
  [RESPONSES, 'max_tokens', { ...response(said({})), max_tokens: 9 }, 'use max_output_tokens'],
  ['/api/chat', 'messages.0.image', ollama({ image: data }), 'put the image into images'],
  ['/api/chat', 'messages.0.image_url', ollama({ image_url: url }), 'put the image into images'],
  ['/api/chat', 'messages.0.text', ollama({ content: undefined, text: asked }), 'into content'],
  ['/api/chat', 'messages.0.content', ollama({ content: undefined, contant: asked }), 'required'],
  ['/api/chat', 'images', { ...ollama({}), images: [data] }, 'images of a message'],
  ['/api/chat', 'temperature', { ...ollama({}), temperature: 1 }, 'belongs into options'],
  ['/api/generate', 'image', { model, prompt: asked, image: data }, 'put the image into images'],
  ['/api/generate', 'messages', { model, messages: [] }, '/api/chat'],
  ['/api/embed', 'images', { model: retrieval.name, input: 'a', images: [data] }, 'into input'],
  ['/v1/embeddings', 'images', { model: retrieval.name, input: 'a', images: [url] }, 'into input'],
  ['/hf/image-to-text', 'image', { inputs: url, image: url }, 'send the image as inputs'],
  ['/hf/image-to-text', 'question', { inputs: url, question: 'x' }, 'visual-question-answering'],
  [
    '/hf/visual-question-answering',
    'inputs.text',
    { inputs: { image: url, text: asked } },
    'send the text as inputs.question',
  ],
  [
    '/hf/zero-shot-image-classification',
    'inputs.images',
    { inputs: { image: url, images: [url] }, parameters: labels },
    'send the image as inputs.image',
  ],
  ['/moondream/v1/caption', 'image', { image_url: url, image: url }, 'send the image as image_url'],
  ['/moondream/v1/query', 'image', { question: asked, image: url }, 'send the image as image_url'],
  [
    '/replicate/v1/predictions',
    'input.images',
    { input: { image: url, images: [url] } },
    'send the image as image',
  ],
];

it.each(MISPLACED)('%s refuses %s', async (path, field, body, remedy) => {
  const reply = await edge.post(path, body);
  const text = await reply.text();
  expect([400, 422], text).toContain(reply.status);
  const { error, detail } = JSON.parse(text) as {
    error?: string | { message: string };
    detail?: string;
  };
  const words = detail ?? (typeof error === 'string' ? error : error?.message);
  expect(words).toMatch(new RegExp(`(^|field )${field.replaceAll('.', '\\.')}: `));
  expect(words).toContain(remedy);
  expect(words).toMatch(/[^.]\.$/);
  expect(edge.gpu.received).toEqual([]);
});

describe('what clients add and no model reads goes on', () => {
  const ofMessage = {
    id: 'msg_1',
    name: 'ann',
    status: 'completed',
    phase: 'final',
    refusal: null,
    audio: null,
    annotations: [{ type: 'url_citation', url: 'https://a.example/' }],
    images: [],
    attachments: null,
    file_ids: [],
    text: '',
    reasoning: 'It is a dog.',
    reasoning_content: 'It is a dog.',
    reasoning_details: [{ type: 'reasoning.encrypted', data: 'x'.repeat(100) }],
    thinking: 'It is a dog.',
    cache_control: { type: 'ephemeral' },
    tool_call_id: 'call_1',
    tool_name: 'look_up',
    content_filter_results: { hate: { filtered: false } },
    created_at: '2026-11-27T00:00:00Z',
    avatar_url: 'https://a.example/avatar.png',
    audio_tokens: [1],
    timestamp: 5,
    metadata: { source: 'https://a.example/' },
  };
  const ofPart = {
    cache_control: { type: 'ephemeral' },
    annotations: [],
    logprobs: [],
    index: 0,
    file_name: 'a.png',
    mime_type: 'image/png',
    providerOptions: { x: { y: 1 } },
  };
  const shown = { type: 'image_url', image_url: { url, detail: 'auto', format: 'png' } };

  it.each<[string, object]>([
    [
      CHAT,
      chat({
        ...ofMessage,
        content: [
          { type: 'text', text: asked, ...ofPart },
          { ...shown, ...ofPart },
        ],
      }),
    ],
    [
      '/hf/v1/chat/completions',
      chat(
        ofMessage,
        { role: 'user', content: [shown] },
        { role: 'assistant', content: 'a dog', ...ofMessage, tool_calls: [{ id: 'a', url }] },
      ),
    ],
    [
      CHAT,
      {
        ...chatPart(shown),
        functions: [{ name: 'look_up', parameters: {} }],
        function_call: 'auto',
      },
    ],
    [
      RESPONSES,
      response(
        {
          type: 'message',
          ...said({}),
          ...ofMessage,
          content: [{ type: 'input_image', image_url: url }],
        },
        { type: 'reasoning', id: 'rs_1', summary: [], encrypted_content: data },
        {
          ...{ type: 'message', id: 'msg_2', status: 'completed', role: 'assistant' },
          content: [{ type: 'output_text', text: 'a dog', ...ofPart }],
        },
        { ...called, id: 'fc_1', status: 'completed' },
        {
          type: 'function_call_output',
          id: 'fo_1',
          call_id: 'a',
          output: 'x',
          status: 'completed',
        },
        said({}),
      ),
    ],
    ['/api/chat', ollama({ ...ofMessage, images: [data] })],
  ])('%s', async (path, body) => {
    const reply = await edge.post(path, body, { 'cache-control': 'no-cache' });
    expect(reply.status, await reply.text()).toBe(200);
    expect(edge.gpu.received).toHaveLength(1);
  });
});

it('a call under its old name that must be made is refused', async () => {
  const reply = await edge.post(CHAT, { ...chat({}), function_call: { name: 'look_up' } });
  expect(reply.status).toBe(400);
  expect(await reply.json()).toMatchObject({
    error: { code: 'unsupported_parameter', param: 'function_call' },
  });
});
