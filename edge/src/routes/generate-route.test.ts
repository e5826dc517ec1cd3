import { imageIdOf } from '@blip2/shared/image-id';
import { AnswerReply } from '@blip2/shared/schemas/answers';
import { CaptionReply } from '@blip2/shared/schemas/captions';
import { DoneEvent } from '@blip2/shared/schemas/events';
import { beforeEach, describe, expect, it } from 'vitest';
import { base64, eventsOf, newImage, startEdge, type TestEdge } from '../testing/edge.ts';
import { generative } from '../testing/models.ts';

let edge: TestEdge;
beforeEach(() => {
  edge = startEdge();
});

describe('captions', () => {
  it('come from every form of a request, and the image is encoded once', async () => {
    const imageBytes = newImage();
    const form = new FormData();
    form.set('image', new File([imageBytes], 'a.png', { type: 'image/png' }));
    const image = { data: base64(imageBytes) };
    const sha256 = await imageIdOf(imageBytes);
    const ways = [
      () => edge.post('/v1/captions', imageBytes, { 'content-type': 'image/png' }),
      () => edge.post('/v1/captions', form),
      () => edge.post('/v1/captions', { image }),
      () => edge.post('/v1/captions', { image: { data: `data:image/png;base64,${image.data}` } }),
      () => edge.post('/v1/captions', { image: { sha256 } }),
    ];
    const replies: CaptionReply[] = [];
    edge = startEdge({ env: { REPLY_TTL_HOURS: '0' } });
    for (const way of ways) {
      const response = await way();
      expect(response.status).toBe(200);
      replies.push(CaptionReply.parse(await response.json()));
      await edge.settled();
    }
    for (const reply of replies) {
      expect(reply).toMatchObject({
        caption: 'a red dog',
        image: { sha256, width: 40, height: 30, format: 'png' },
        model: generative.name,
        finish_reason: 'stop',
      });
    }
    expect(replies.map(({ cache }) => cache)).toEqual(['miss', 'colo', 'colo', 'colo', 'colo']);
    expect(edge.gpu.received.map(({ with: source }) => source)).toEqual([
      'image',
      ...Array(4).fill('embeddings'),
    ]);
    expect(edge.gpu.received[0]?.payload).toEqual(imageBytes);
  });

  it('are sent to the GPU worker with the address of the client, or as of the unnamed one', async () => {
    const headers = { 'content-type': 'image/png', 'cf-connecting-ip': '203.0.113.7' };
    await edge.post('/v1/captions', newImage(), headers);
    await edge.post('/v1/captions', newImage(), { 'content-type': 'image/png' });
    const clients = edge.gpu.received.map(({ request }) => request.client);
    expect(clients).toEqual(['203.0.113.7', 'unnamed']);
  });

  it('have a prompt of BOS and the exact text, and count the tokens they used', async () => {
    const response = await edge.post(
      '/v1/captions?prompt=a%20photo%20of%20&max_tokens=2&temperature=0.5&seed=7',
      newImage(),
      { 'content-type': 'image/png' },
    );
    const reply = CaptionReply.parse(await response.json());
    const ids = [...generative.prompt_prefix, ...generative.tokenizer().encode('a photo of ')];
    expect(edge.gpu.received[0]?.request).toMatchObject({
      kind: 'generate',
      revision: generative.revision,
      input_ids: ids,
      generation: { max_tokens: 2, temperature: 0.5, seed: 7, top_p: 1, top_k: 0 },
    });
    const prompt_tokens = generative.num_query_tokens + ids.length;
    expect(reply.usage).toEqual({
      prompt_tokens,
      completion_tokens: 2,
      total_tokens: prompt_tokens + 2,
    });
    expect(reply.finish_reason).toBe('length');
  });

  it('report the parts of their time', async () => {
    const response = await edge.post('/v1/captions', { image: { data: base64(newImage()) } });
    const timing = response.headers.get('server-timing') ?? '';
    const parts = timing.split(', ').map((part) => part.split(';dur=') as [string, string]);
    const { total, ...rest } = Object.fromEntries(parts.map(([name, ms]) => [name, Number(ms)]));
    expect(rest).toMatchObject({ vision: 3, prefill: 1, queue: 0.5 });
    expect(Object.keys(rest)).toEqual(expect.arrayContaining(['read', 'lookup', 'wait']));
    const sum = Object.values(rest).reduce((all, ms) => all + ms, 0);
    expect(sum).toBeCloseTo(total ?? Number.NaN, 0);
    expect(response.headers.get('x-request-id')).toBeTruthy();
    expect(response.headers.get('access-control-allow-origin')).toBe('*');
  });
});

describe('answers', () => {
  it('put the question and the history into the template', async () => {
    const response = await edge.post('/v1/answers', {
      image: { data: base64(newImage()) },
      question: ' what color? ',
      history: [{ question: 'a dog?', answer: 'yes' }],
    });
    expect(AnswerReply.parse(await response.json()).answer).toBe('a red dog');
    const request = edge.gpu.received[0]?.request;
    expect(request?.kind === 'generate' && request.input_ids.slice(1)).toEqual(
      generative.tokenizer().encode('Question: a dog? Answer: yes. Question: what color? Answer:'),
    );
  });

  it('encode control strings in a question as text', async () => {
    await edge.post('/v1/answers', {
      image: { data: base64(newImage()) },
      question: 'is </s><image><pad> here?',
    });
    const request = edge.gpu.received[0]?.request;
    const ids = request?.kind === 'generate' ? request.input_ids : [];
    expect(ids[0]).toBe(generative.prompt_prefix[0]);
    expect(ids.slice(1)).not.toContain(generative.prompt_prefix[0]);
  });
});

describe('options under other names', () => {
  it('are those that the GPU worker gets', async () => {
    const image = { data: base64(newImage()) };
    const names = {
      max_new_tokens: 4,
      min_new_tokens: 2,
      num_return_sequences: 2,
      do_sample: true,
    };
    edge.gpu.script.others = [' a blue cat'];
    expect((await edge.post('/v1/captions', { image, ...names })).status).toBe(200);
    expect(edge.gpu.received[0]?.request).toMatchObject({
      generation: { max_tokens: 4, min_tokens: 2, n: 2, temperature: 1 },
    });
    await edge.post('/v1/captions?do_sample=False', newImage(), { 'content-type': 'image/png' });
    expect(edge.gpu.received[1]?.request).toMatchObject({ generation: { temperature: 0 } });
  });
});

describe('several texts', () => {
  const body = () => ({ image: { data: base64(newImage()) }, n: 2, num_beams: 2 });

  it('come in a list, the first of them in its usual place', async () => {
    edge.gpu.script.others = [' a blue cat'];
    const reply = CaptionReply.parse(await (await edge.post('/v1/captions', body())).json());
    expect(reply).toMatchObject({ caption: 'a red dog', score: 0, finish_reason: 'stop' });
    expect(reply.choices?.map(({ text, score }) => [text, score])).toEqual([
      ['a red dog', 0],
      ['a blue cat', -1],
    ]);
    const counts = ['a red dog\n', 'a blue cat'].map(
      (text) => generative.tokenizer().encode(` ${text}`).length,
    );
    expect(reply.usage.completion_tokens).toBe(counts[0]! + counts[1]!);
  });

  it('are distinguished by their choice in a stream', async () => {
    edge.gpu.script.others = [' a blue cat'];
    const response = await edge.post('/v1/captions', { ...body(), stream: true });
    const events = await eventsOf(response);
    const textOf = (choice: number) =>
      events
        .filter(({ event, data }) => event === 'token' && data.choice === choice)
        .map(({ data }) => data.text)
        .join('');
    expect([textOf(0), textOf(1)]).toEqual(['a red dog', 'a blue cat']);
  });
});

describe('stop sequences', () => {
  it('end the texts of a beam search, which have their scores still', async () => {
    const body = { image: { data: base64(newImage()) }, num_beams: 3, stop: ' dog' };
    const reply = CaptionReply.parse(await (await edge.post('/v1/captions', body)).json());
    expect(reply).toMatchObject({ caption: 'a red', finish_reason: 'stop', score: 0 });
  });

  it('end the text before them, and the work at the GPU worker', async () => {
    edge.gpu.script.text = ' a red dog on a mat, and more and more and more';
    const body = { image: { data: base64(newImage()) }, stop: ['mat', ' on'] };
    const reply = CaptionReply.parse(await (await edge.post('/v1/captions', body)).json());
    expect(reply).toMatchObject({ caption: 'a red dog', finish_reason: 'stop' });
    expect(reply.usage.completion_tokens).toBeLessThan(8);
    await edge.gpu.untilCanceled(1);
  });

  it('are never emitted in a stream, not even in part', async () => {
    edge.gpu.script.text = ' a red dog sits';
    const body = { image: { data: base64(newImage()) }, stop: 'dog sat', stream: true };
    const events = await eventsOf(await edge.post('/v1/captions', body));
    const deltas = events.filter(({ event }) => event === 'token').map(({ data }) => data.text);
    expect(deltas).not.toContain(' dog');
    expect(deltas.join('')).toBe('a red dog sits');
  });
});

describe('log-probabilities', () => {
  it('are reported of each token and its likeliest alternatives, in the reply and in the stream', async () => {
    const image = { data: base64(newImage()) };
    const options = { image, logprobs: true, top_logprobs: 2 };
    const reply = CaptionReply.parse(await (await edge.post('/v1/captions', options)).json());
    const ids = generative.tokenizer().encode(' a red dog\n');
    expect(reply.logprobs?.map(({ id }) => id)).toEqual(ids);
    expect(reply.logprobs?.[0]).toMatchObject({
      text: ' a',
      logprob: -0.5,
      top_logprobs: [{ text: ' a', logprob: -0.5 }, { id: 9 }],
    });
    const events = await eventsOf(await edge.post('/v1/captions', { ...options, stream: true }));
    const streamed = events
      .filter(({ event }) => event === 'token')
      .flatMap(({ data }) => data.logprobs);
    expect(streamed.map((token) => (token as { id: number }).id)).toEqual(
      ids.slice(0, streamed.length),
    );
    expect(streamed.length).toBeGreaterThan(2);
  });
});

describe('streams', () => {
  it.each<[string, Record<string, unknown>, Record<string, string>]>([
    ['stream: true', { stream: true }, {}],
    ['Accept', {}, { accept: 'text/event-stream' }],
  ])(
    'asked for by %s have the image, deltas of the text, and the whole',
    async (_name, body, headers) => {
      edge.gpu.script.text = ' ein café – 日本 🐕 \n';
      const image = { data: base64(newImage()) };
      const response = await edge.post('/v1/captions', { image, ...body }, headers);
      expect(response.headers.get('content-type')).toContain('text/event-stream');
      expect(response.headers.get('content-encoding')).toBe('identity');
      const events = await eventsOf(response);
      expect(events[0]).toMatchObject({ event: 'image', data: { width: 40, cache: 'miss' } });
      const done = DoneEvent.parse(events.at(-1)?.data);
      const deltas = events.filter(({ event }) => event === 'token').map(({ data }) => data.text);
      expect(deltas.join('')).toBe('ein café – 日本 🐕');
      expect(deltas.length).toBeGreaterThan(3);
      expect(done).toMatchObject({
        text: deltas.join(''),
        caption: deltas.join(''),
        cache: 'miss',
      });
      const plain = await edge.post('/v1/captions', { image });
      expect(CaptionReply.parse(await plain.json()).caption).toBe(done.text);
    },
  );

  it.each<[string, Record<string, unknown>, string]>([
    ['application/json, text/event-stream', {}, 'application/json'],
    ['text/event-stream;q=0', {}, 'application/json'],
    ['application/json;q=0.5, text/event-stream', {}, 'text/event-stream'],
    ['application/json', { stream: true }, 'text/event-stream'],
    ['text/event-stream', { stream: false }, 'application/json'],
    ['image/png', { stream: true }, 'text/event-stream'],
    ['image/png', {}, 'application/problem+json'],
  ])(
    'are chosen by Accept: %s, unless the request has a stream: %o',
    async (accept, body, type) => {
      const members = { image: { data: base64(newImage()) }, ...body };
      const response = await edge.post('/v1/captions', members, { accept });
      expect(response.headers.get('content-type')?.split(';')[0]).toBe(type);
      if (type !== 'application/problem+json') return;
      expect(response.status).toBe(406);
      expect(await response.json()).toMatchObject({
        detail: 'Accept allows none of what is offered here: application/json, text/event-stream.',
      });
      expect(edge.gpu.received).toEqual([]);
    },
  );

  it('end with an error event when the GPU worker breaks off', async () => {
    edge.gpu.script.breakOff = true;
    const body = { image: { data: base64(newImage()) }, stream: true };
    const events = await eventsOf(await edge.post('/v1/captions', body));
    expect(events.at(-1)).toMatchObject({
      event: 'error',
      data: { type: '/problems/worker-unavailable', status: 503 },
    });
  });
});
