/** Moondream's routes in workerd: what the document describes, and errors that its clients notice. */
import { ApiError, type ProblemSlug } from '@blip2/shared/errors';
import { EventSourceParserStream } from 'eventsource-parser/stream';
import { beforeEach, describe, expect, it } from 'vitest';
import { base64, newImage, startEdge, type TestEdge } from '../../testing/edge.ts';

const CAPTION = '/moondream/v1/caption';
const QUERY = '/moondream/v1/query';
const NODE = { 'user-agent': 'moondream-node/0.2.0' };

let edge: TestEdge;
beforeEach(() => {
  edge = startEdge();
});

const image_url = () => `data:image/jpeg;base64,${base64(newImage())}`;
const caption = (members: object = {}) => ({ image_url: image_url(), ...members });
const query = (members: object = {}) => ({ image_url: image_url(), question: 'what?', ...members });
const ROUTES = [
  [CAPTION, caption, 'caption'],
  [QUERY, query, 'answer'],
] as const;

type Event = { event: string | undefined; data: string };

async function eventsOf(response: Response): Promise<Event[]> {
  const stream = response
    .body!.pipeThrough(new TextDecoderStream())
    .pipeThrough(new EventSourceParserStream());
  return await Array.fromAsync(stream, ({ event, data }) => ({ event, data }));
}

const generationOf = () => {
  const { request } = edge.gpu.received[0]!;
  return request.kind === 'generate' ? request.generation : undefined;
};

describe.each(ROUTES)('POST %s', (path, body, member) => {
  it('replies whole, and as chunks that end with completed', async () => {
    const whole = (await (await edge.post(path, body())).json()) as Record<string, unknown>;
    expect(whole).toMatchObject({ [member]: 'a red dog', finish_reason: 'stop' });
    const events = await eventsOf(await edge.post(path, body({ stream: true })));
    const all = events.map(({ data }) => JSON.parse(data));
    expect(
      all
        .slice(0, -1)
        .map(({ chunk }) => chunk)
        .join(''),
    ).toBe('a red dog');
    expect(all.at(-1)).toMatchObject({ completed: true, finish_reason: 'stop' });
  });

  it.each<[object, string]>([
    [{ variant: 'x/1' }, 'variant'],
    [{ settings: { variant: 'x/1' } }, 'settings.variant'],
    [{ settings: { temperature: 99 } }, 'settings.temperature'],
    [{ color: 'red' }, 'color'],
    [{ image_url: 'no base64!' }, 'image_url'],
    [{ image_url: 7 }, 'image_url'],
  ])('refuses %j, naming it', async (members, param) => {
    const response = await edge.post(path, body(members));
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ error: { param } });
  });

  it('keeps to the settings', async () => {
    const settings = { temperature: 0.5, top_p: 0.3, max_tokens: 3 };
    await edge.post(path, body({ settings }));
    expect(generationOf()).toMatchObject(settings);
  });

  it.each<[ProblemSlug, number]>([
    ['too-many-requests', 429],
    ['invalid-image', 400],
    ['overloaded', 503],
  ])('passes %s on as its status, streamed or not', async (slug, status) => {
    const extras = status === 400 ? {} : { retry_after: 3 };
    edge.gpu.script.refuse = new ApiError(slug, 'As it says.', extras);
    for (const stream of [false, true]) {
      const response = await edge.post(path, body({ stream }));
      expect(response.status).toBe(status);
      expect(await response.json()).toMatchObject({ error: { message: 'As it says.' } });
    }
  });

  it('has a status for what fails before the first characters, however late', async () => {
    const { promise, reject } = Promise.withResolvers<void>();
    edge.gpu.script.token = () => promise;
    const reply = edge.post(path, body({ stream: true }));
    await edge.gpu.untilReceived(1);
    reject(new ApiError('computation-failed', 'It failed.'));
    expect((await reply).status).toBeGreaterThanOrEqual(500);
  });

  it('ends a stream that fails with its error, and with a line at which clients throw', async () => {
    edge.gpu.script.breakOff = true;
    const events = await eventsOf(await edge.post(path, body({ stream: true })));
    const [error, end] = events.slice(-2);
    expect(error!.event).toBe('error');
    expect(JSON.parse(error!.data)).toMatchObject({ error: { code: 'worker_unavailable' } });
    expect(end).toEqual({ event: 'end', data: 'worker-unavailable' });
  });

  it('has errors that the client for Node cannot take for an empty text', async () => {
    const response = await edge.post(path, body({ image_url: 'no base64!', stream: true }), NODE);
    expect(response.status).toBe(400);
    const [error, end] = await eventsOf(response);
    expect(JSON.parse(error!.data)).toMatchObject({ error: { param: 'image_url' } });
    expect(() => JSON.parse(end!.data)).toThrow(/invalid-base64/);
  });

  it('ends the work when the client leaves the stream', async () => {
    let count = 0;
    const never = Promise.withResolvers<void>().promise;
    edge.gpu.script.token = () => (count++ < 2 ? Promise.resolve() : never);
    const response = await edge.post(path, body({ stream: true }));
    await response.body!.cancel();
    await edge.gpu.untilCanceled(1);
  });
});

it.each([
  ['short', -1],
  ['long', 2],
])('searches for a %s caption', async (length, length_penalty) => {
  await edge.post(CAPTION, caption({ length }));
  expect(generationOf()).toMatchObject({ num_beams: 4, length_penalty, n: 1 });
  const sampled = caption({ length, settings: { temperature: 0.5 } });
  const refused = await edge.post(CAPTION, sampled);
  expect(await refused.json()).toMatchObject({ error: { param: 'length' } });
});

it('writes a normal caption as any other', async () => {
  await edge.post(CAPTION, caption({ length: 'normal', settings: { temperature: 0.5 } }));
  expect(generationOf()).toMatchObject({ num_beams: 1, temperature: 0.5 });
});

it('asks for an image where a question has none', async () => {
  edge.gpu.script.isGone = true;
  const reply = await edge.post(QUERY, { question: 'what is it?', reasoning: false });
  expect(await reply.json()).toMatchObject({ answer: expect.stringContaining('Send an image') });
});

it.each([
  ['reasoning', query({ reasoning: true })],
  ['spatial_refs', query({ spatial_refs: [[0.5, 0.5]] })],
  ['question', query({ question: ' ' })],
  ['length', caption({ length: 'epic' })],
])('refuses what is not done: %s', async (param, body) => {
  const response = await edge.post('question' in body ? QUERY : CAPTION, body);
  expect(response.status).toBe(400);
  expect(await response.json()).toMatchObject({ error: { param } });
});

it.each(['detect', 'point', 'segment'])('has no /%s, and says what there is', async (name) => {
  const response = await edge.post(`/moondream/v1/${name}`, caption({ object: 'a dog' }));
  expect(response.status).toBe(404);
  const message = expect.stringContaining('/moondream/v1/query');
  expect(await response.json()).toMatchObject({ error: { code: 'not_found', message } });
});

it('asks for a key in its own form where one is needed', async () => {
  edge = startEdge({ env: { ALLOW_ANONYMOUS: '' } });
  const response = await edge.post(CAPTION, caption(), { 'x-moondream-auth': 'none' });
  expect(response.status).toBe(401);
  expect(await response.json()).toMatchObject({ error: { code: 'invalid_api_key' } });
});
