/** An image outside of the model's training: whoever gets a text about it is warned, however the reply came about. */
import { imageIdOf } from '@blip2/shared/image-id';
import { AnswerReply } from '@blip2/shared/schemas/answers';
import { CaptionReply } from '@blip2/shared/schemas/captions';
import { DoneEvent, ImageEvent } from '@blip2/shared/schemas/events';
import { ChatCompletion } from '@blip2/shared/schemas/openai/chat';
import { beforeEach, expect, it } from 'vitest';
import { base64, eventsOf, newImage, startEdge, type TestEdge } from '../testing/edge.ts';
import { generative } from '../testing/models.ts';

let edge: TestEdge;
beforeEach(() => {
  edge = startEdge();
});

async function settled(response: Promise<Response>): Promise<unknown> {
  const body: unknown = await (await response).json();
  await edge.settled();
  return body;
}

it('the warning is in replies that were computed now, from cached embeddings, and replayed', async () => {
  edge.gpu.script.isOutside = true;
  const bytes = newImage();
  const captions = async (members: object) =>
    CaptionReply.parse(await settled(edge.post('/v1/captions', members)));
  const first = await captions({ image: { data: base64(bytes) } });
  // What the worker says of later images changes nothing about this one.
  edge.gpu.script.isOutside = false;
  const image = { sha256: await imageIdOf(bytes) };
  const replayed = await captions({ image });
  const other = await captions({ image, max_tokens: 2 });
  const answer = AnswerReply.parse(
    await settled(edge.post('/v1/answers', { image, question: 'what is it?' })),
  );
  expect([first, replayed, other, answer].map(({ cache }) => cache)).toEqual([
    'miss',
    'reply',
    'colo',
    'colo',
  ]);
  for (const { warnings, image } of [first, replayed, other, answer]) {
    expect(warnings).toHaveLength(1);
    expect(warnings).toEqual(first.warnings);
    expect(image.outside_training).toBe(true);
  }
  expect(first.caption).toBe('a red dog');
  const [warning] = first.warnings ?? [];
  expect(warning?.type).toBe('outside-training');
  expect(warning?.detail).toContain(`unlike all that ${generative.name} was trained on`);
  expect(warning?.remedy).toContain('BLIP2_CHECKPOINT=');
});

it('the warning is in the last event of a stream', async () => {
  edge.gpu.script.isOutside = true;
  const body = { image: { data: base64(newImage()) }, stream: true };
  const events = await eventsOf(await edge.post('/v1/captions', body));
  const dataOf = (name: string) => events.find(({ event }) => event === name)?.data;
  expect(DoneEvent.parse(dataOf('done')).warnings).toHaveLength(1);
  expect(ImageEvent.parse(dataOf('image')).outside_training).toBe(true);
});

it('chat completions have the warning as a member of their own, streamed or not', async () => {
  edge.gpu.script.isOutside = true;
  const url = `data:image/png;base64,${base64(newImage())}`;
  const messages = [{ role: 'user', content: [{ type: 'image_url', image_url: { url } }] }];
  const ask = (members: object) =>
    edge.post('/v1/chat/completions', { model: generative.name, messages, ...members });
  const whole = ChatCompletion.parse(await settled(ask({})));
  expect(whole.warnings?.[0]?.type).toBe('outside-training');
  const text = await (await ask({ stream: true })).text();
  const chunks = text.split('\n\n').filter((line) => line.includes('"warnings"'));
  expect(chunks).toHaveLength(1);
  expect(chunks[0]).toContain('"finish_reason":"stop"');
});

it('there is no member without a warning', async () => {
  const reply = await settled(edge.post('/v1/captions', { image: { data: base64(newImage()) } }));
  expect(reply).not.toHaveProperty('warnings');
  expect(reply).not.toHaveProperty('image.outside_training');
});
