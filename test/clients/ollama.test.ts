/** Ollama's client, unchanged, at the running service, and what its front ends send. */
import { type ChatRequest, type ChatResponse, Ollama } from 'ollama';
import { describe, expect, inject, it } from 'vitest';
import {
  CAPTION,
  dot,
  fillPlaces,
  imageBytes,
  imageUrl,
  LONG,
  MODEL,
  otherImageUrl,
  QUESTION,
  untilAdmitted,
} from './service.ts';

const host = inject('edgeUrl');
const client = new Ollama({ host });
const image = Buffer.from(imageBytes).toString('base64');
const otherImage = otherImageUrl.replace(/^data:.*,/, '');
const asked = { role: 'user', content: QUESTION, images: [imageBytes] };
/** Takes seconds. */
const long = { min_tokens: LONG.min_tokens, num_predict: LONG.max_tokens } as object;

/** The compiler knows one kind of reply only. */
type Asked = ChatRequest & { stream?: false };

const contentOf = (parts: readonly ChatResponse[]) =>
  parts.map(({ message }) => message.content).join('');

describe('chat', () => {
  it('answers a question, with what it took', async () => {
    const reply = await client.chat({ model: MODEL, messages: [asked] });
    expect(reply).toMatchObject({
      model: MODEL,
      message: { role: 'assistant', content: 'a pizza' },
      done: true,
      done_reason: 'stop',
      eval_count: 2,
    });
    expect(reply.total_duration).toBeGreaterThan(0);
    expect(reply.prompt_eval_count).toBeGreaterThan(32);
    expect(Date.parse(String(reply.created_at))).toBeGreaterThan(0);
  });

  it('streams, and ends with done', async () => {
    const stream = await client.chat({ model: `${MODEL}:latest`, messages: [asked], stream: true });
    const parts = await Array.fromAsync(stream);
    expect(contentOf(parts)).toBe('a pizza');
    expect(parts.map(({ done }) => done)).toEqual([false, false, true]);
    expect(parts.at(-1)).toMatchObject({ done_reason: 'stop', eval_count: 2 });
  });

  it('captions where nothing else is asked, about an image in base64 or with its data: prefix', async () => {
    for (const sent of [imageBytes, image, imageUrl]) {
      const messages = [
        { role: 'user', content: 'Describe this image.', images: [sent as string] },
      ];
      const { message } = await client.chat({ model: MODEL, messages });
      expect(message.content).toBe(CAPTION);
    }
  });

  it('goes on with a conversation, about its latest image', async () => {
    const turns = [
      { role: 'system', content: 'You are a helpful assistant.' },
      { role: 'user', content: 'how many?', images: [otherImage] },
      { role: 'assistant', content: 'three' },
      { role: 'user', content: QUESTION, images: [image] },
      { role: 'assistant', content: 'a pizza' },
      { role: 'user', content: 'what color is the background?' },
    ];
    const { message } = await client.chat({ model: MODEL, messages: turns });
    expect(message.content).toBe('gray');
  });

  it('keeps to its options, and to ours', async () => {
    const messages = [{ role: 'user', content: '', images: [image] }];
    const written = async (options: object) => {
      const reply = await client.chat({ model: MODEL, messages, options });
      return [reply.message.content, reply.done_reason];
    };
    expect(await written({ num_predict: 2 })).toEqual(['a pizza', 'length']);
    expect(await written({ stop: [' on'] })).toEqual(['a pizza above an octopus', 'stop']);
    expect(await written({ num_beams: 4, temperature: 0 })).toEqual([CAPTION, 'stop']);
    const sampled = { temperature: 1.5, seed: 7, top_k: 40, top_p: 0.95 };
    expect(await written(sampled)).toEqual(await written(sampled));
    const machine = { num_ctx: 8192, num_gpu: 1, num_thread: 4, repeat_last_n: 64 };
    expect(await written(machine)).toEqual([CAPTION, 'stop']);
  });

  it('reports log-probabilities, whole and streamed', async () => {
    const request = { model: MODEL, messages: [asked], logprobs: true, top_logprobs: 2 };
    const whole = await client.chat(request);
    const stream = await client.chat({ ...request, stream: true });
    const parts = await Array.fromAsync(stream);
    expect(whole.logprobs!.map(({ token }) => token).join('')).toContain('pizza');
    expect(whole.logprobs![0]!.top_logprobs).toHaveLength(2);
    expect(parts.flatMap(({ logprobs = [] }) => logprobs)).toHaveLength(whole.logprobs!.length);
  });

  it('asks for an image where none was sent, whole and as a stream', async () => {
    const messages = [{ role: 'user', content: 'Generate a concise title for this chat.' }];
    const whole = await client.chat({ model: MODEL, messages });
    const parts = await Array.fromAsync(
      await client.chat({ model: MODEL, messages, stream: true }),
    );
    expect(contentOf(parts)).toBe(whole.message.content);
    expect(whole.message.content).toContain('Send an image');
  });

  it('frees its place as soon as it is aborted', async () => {
    for (const abort of [(stream: { abort: () => void }) => stream.abort(), () => client.abort()]) {
      const messages = [{ role: 'user', content: '', images: [image] }];
      const stream = await client.chat({ model: MODEL, messages, options: long, stream: true });
      const read = async () => {
        for await (const part of stream) {
          expect(part.done).toBe(false);
          abort(stream);
        }
      };
      await expect(read()).rejects.toThrow(/abort/i);
      await untilAdmitted(0);
    }
  });
});

describe('generate', () => {
  it('answers, and captions an image without a prompt', async () => {
    const reply = await client.generate({ model: MODEL, prompt: QUESTION, images: [imageBytes] });
    expect(reply).toMatchObject({ response: 'a pizza', done: true, done_reason: 'stop' });
    const caption = await client.generate({ model: MODEL, prompt: '', images: [image] });
    expect(caption.response).toBe(CAPTION);
  });

  it('streams', async () => {
    const stream = await client.generate({
      model: MODEL,
      prompt: QUESTION,
      images: [image],
      stream: true,
    });
    const parts = await Array.fromAsync(stream);
    expect(parts.map(({ response }) => response).join('')).toBe('a pizza');
    expect(parts.at(-1)).toMatchObject({ done: true, eval_count: 2 });
  });

  it('says that the model is loaded where nothing is asked', async () => {
    const reply = await client.generate({ model: MODEL, prompt: '', keep_alive: '10m' });
    expect(reply).toMatchObject({ response: '', done: true, done_reason: 'load' });
    const stream = await client.generate({ model: MODEL, prompt: '', stream: true });
    expect(await Array.fromAsync(stream)).toHaveLength(1);
  });
});

describe('embeddings', () => {
  it('of texts and images compare', async () => {
    const input = [imageUrl, CAPTION, 'two cows'];
    const { embeddings, prompt_eval_count } = await client.embed({ model: MODEL, input });
    const [shown, right, wrong] = embeddings as [number[], number[], number[]];
    expect(dot(shown, shown)).toBeCloseTo(1, 3);
    expect(dot(shown, right)).toBeGreaterThan(dot(shown, wrong));
    expect(prompt_eval_count).toBeGreaterThan(0);
    const { embedding } = await client.embeddings({ model: MODEL, prompt: CAPTION });
    expect(dot(embedding, right)).toBeCloseTo(1, 3);
  });

  it('of a text that is too long are of its beginning', async () => {
    const input = 'a pizza above an octopus '.repeat(100);
    const { embeddings } = await client.embed({ model: MODEL, input });
    expect(embeddings).toHaveLength(1);
    await expect(client.embed({ model: MODEL, input, truncate: false })).rejects.toThrow(/at most/);
  });
});

describe('models', () => {
  it('are listed, loaded and shown, and the listed name is taken', async () => {
    const { models } = await client.list();
    const name = models[0]!.name;
    expect(models).toHaveLength(1);
    expect(name).toBe(`${MODEL}:latest`);
    expect((await client.ps()).models[0]!.name).toBe(name);
    const { capabilities, details, model_info } = await client.show({ model: name });
    expect(capabilities).toEqual(expect.arrayContaining(['completion', 'vision', 'embedding']));
    expect(details.family).toBe('blip2');
    expect(model_info).toMatchObject({ 'blip2.context_length': 256 });
    expect((await client.chat({ model: name, messages: [asked] })).message.content).toBe('a pizza');
    expect((await client.version()).version).toMatch(/^\d+\.\d+\.\d+$/);
  });

  it('are not changed, which the error explains', async () => {
    const changes = [
      () => client.pull({ model: 'llava' }),
      () => client.push({ model: MODEL }),
      () => client.create({ model: 'mine', from: MODEL }),
      () => client.copy({ source: MODEL, destination: 'mine' }),
      () => client.delete({ model: MODEL }),
    ];
    for (const change of changes) {
      await expect(change()).rejects.toMatchObject({
        status_code: 404,
        error: expect.stringContaining('the operator chooses'),
      });
    }
    await expect(client.pull({ model: 'llava', stream: true })).rejects.toThrow(/operator/);
  });
});

describe('errors', () => {
  it.each<[string, object, number, RegExp]>([
    ['another model', { model: 'llava' }, 404, /blip2-scenes/],
    ['no model', { model: undefined }, 400, /^model: is required/],
    ['JSON as a format', { format: 'json' }, 400, /^format: /],
    ['tools', { tools: [{ type: 'function', function: { name: 'f' } }] }, 400, /^tools: /],
    ['reasoning', { think: true }, 400, /^think: /],
    ['an option that is not done', { options: { min_p: 0.1 } }, 400, /^options\.min_p: /],
    ['an option out of range', { options: { temperature: -1 } }, 400, /^options\.temperature: /],
    [
      'a role that is none',
      { messages: [{ role: 'function', content: 'x' }] },
      400,
      /^messages\.0\.role/,
    ],
    [
      'what is no image',
      { messages: [{ role: 'user', content: '?', images: [btoa('no image at all')] }] },
      400,
      /image/,
    ],
  ])('name what is wrong: %s', async (_what, members, status_code, error) => {
    for (const stream of [false, true]) {
      const request: Asked = {
        model: MODEL,
        messages: [asked],
        ...members,
        stream: stream as false,
      };
      await expect(client.chat(request)).rejects.toMatchObject({
        name: 'ResponseError',
        status_code,
        error: expect.stringMatching(error),
      });
    }
  });

  it('are 429 for a caller with too many requests, streamed or not', async () => {
    await using _places = await fillPlaces();
    for (const stream of [false, true]) {
      const request: Asked = { model: MODEL, messages: [asked], stream: stream as false };
      await expect(client.chat(request)).rejects.toMatchObject({ status_code: 429 });
    }
  });
});

describe('front ends', () => {
  const post = (path: string, body: unknown) =>
    fetch(`${host}${path}`, { method: 'POST', body: JSON.stringify(body) });

  it('stream where they say nothing, in lines', async () => {
    const response = await post('/api/generate', {
      model: MODEL,
      prompt: QUESTION,
      images: [image],
    });
    expect(response.headers.get('content-type')).toBe('application/x-ndjson');
    const lines = (await response.text())
      .trimEnd()
      .split('\n')
      .map((text) => JSON.parse(text));
    expect(lines.map(({ response: text }) => text).join('')).toBe('a pizza');
  });

  it('probe the address and the version', async () => {
    expect((await fetch(host, { method: 'HEAD' })).status).toBe(200);
    expect((await fetch(`${host}/api/version`, { method: 'HEAD' })).status).toBe(200);
  });

  it('send what Open WebUI sends', async () => {
    const { models } = (await (await fetch(`${host}/api/tags`)).json()) as {
      models: { model: string; name: string }[];
    };
    const { model } = models[0]!;
    const options = { num_ctx: 2048, repeat_last_n: 64, seed: 0, mirostat: 0, use_mmap: true };
    const messages = [{ role: 'user', content: QUESTION, images: [image] }];
    const chat = await post('/api/chat', { model, messages, stream: true, options, metadata: {} });
    expect(chat.status).toBe(200);
    expect(await chat.text()).toContain('pizza');
    const title = [{ role: 'user', content: '### Task:\nGenerate a concise title.\n'.repeat(40) }];
    const task = { model, messages: title, stream: false, options: { num_predict: 1000 } };
    expect((await post('/api/chat', task)).status).toBe(200);
    const embed = await post('/api/embed', { model, input: ['a pizza'], truncate: true });
    expect(embed.status).toBe(200);
  });
});
