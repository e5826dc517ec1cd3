/** The embedded model notices what is no scene: images that were made for this, of six kinds, and none of its scenes. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { AnswerReply } from '@blip2/shared/schemas/answers';
import { CaptionReply } from '@blip2/shared/schemas/captions';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { postJson } from '../../tools/api.ts';
import { spread } from '../../tools/eval/datasets/run.ts';
import { imagesOf, type Judged, judgeAll } from '../../tools/eval/outside.ts';
import { type Stack, startStack } from '../../tools/local-stack.ts';
import { ROOT } from '../../tools/prepare-edge.ts';
import { readScenes } from '../../tools/scenes.ts';

const FOREIGN = join(ROOT, 'test/foreign');
/** Five of each layout by each artist. */
const SCENES = 60;
const NOTICED = 0.95;
const WARNED = 0.02;

let stack: Stack;
let foreign: Judged[];
beforeAll(async () => {
  stack = await startStack();
  foreign = await judgeAll(stack.url, await imagesOf(FOREIGN));
});
afterAll(() => stack?.stop());

it('foreign images are noticed, of every kind, and have a caption all the same', () => {
  const missed = foreign.filter(({ isWarned }) => !isWarned).map(({ path }) => path);
  expect(missed.length / foreign.length, missed.join()).toBeLessThanOrEqual(1 - NOTICED);
  expect(new Set(foreign.map(({ group }) => group)).size).toBe(6);
  expect(foreign.filter(({ caption }) => caption === '')).toEqual([]);
});

it('scenes are not warned about', async () => {
  const scenes = spread(await readScenes(), SCENES).map(({ file, artist }) => {
    return { path: join(ROOT, 'test/scenes', file), group: artist, isForeign: false };
  });
  const judged = await judgeAll(stack.url, scenes);
  const warned = judged.filter(({ isWarned }) => isWarned).map(({ path }) => path);
  expect(warned.length / SCENES, warned.join()).toBeLessThanOrEqual(WARNED);
});

it('a question about such an image that is named by its hash has the warning too', async () => {
  const data = (await readFile(join(FOREIGN, 'document/document-00.webp'))).toString('base64');
  const first = CaptionReply.parse(await postJson(`${stack.url}/v1/captions`, { image: { data } }));
  const { sha256 } = first.image;
  const ask = { image: { sha256 }, question: 'what is in the picture?' };
  const answer = AnswerReply.parse(await postJson(`${stack.url}/v1/answers`, ask));
  expect(answer.cache).toBe('colo');
  expect(first.warnings?.[0]?.detail).toContain('blip2-scenes knows emoji scenes only');
  expect(answer.warnings).toEqual(first.warnings);
});
