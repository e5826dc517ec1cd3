/** Items of jobs go through a real queue to a real GPU worker, and their results come back to the edge. */
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Stack, startStack } from '../../tools/local-stack.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

/** What the embedded model says of scenes that nobody has asked about before. */
const CAPTIONS: Readonly<Record<string, string>> = {
  'pair-noto-00': 'a pizza above an octopus on a gray background',
  'pair-noto-01': 'a broccoli to the left of a monkey on a gray background',
  'pair-noto-02': 'a church to the left of a crown on a red background',
  'pair-noto-03': 'a pineapple to the left of a train on a gray background',
};
/** The beginning of an image: only whoever decodes it sees that there is no more. */
const BROKEN = 'data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ';

const persist = temporaryFolder();
let stack: Stack;
let items: { id: string; image: string }[];
const start = async () => {
  stack = await startStack({ jobs: true, persist });
};
beforeAll(async () => {
  await start();
  items = await Promise.all(
    Object.keys(CAPTIONS).map(async (id) => {
      const path = fileURLToPath(new URL(`../scenes/${id}.webp`, import.meta.url));
      const image = `data:image/webp;base64,${(await readFile(path)).toString('base64')}`;
      return { id, image };
    }),
  );
});
afterAll(() => stack?.stop());

async function create(body: object): Promise<string> {
  const response = await fetch(`${stack.url}/v1/jobs`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  expect(response.status).toBe(202);
  return ((await response.json()) as { id: string }).id;
}

/** The job when it has ended, by its events. */
async function ended(id: string): Promise<unknown> {
  const events = await (await fetch(`${stack.url}/v1/jobs/${id}/events`)).text();
  const [, last = 'null'] = /^event: done\ndata: (.*)$/m.exec(events) ?? [];
  return JSON.parse(last);
}

async function linesOf(id: string): Promise<unknown[]> {
  const text = await (await fetch(`${stack.url}/v1/jobs/${id}/results`)).text();
  return text.split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line)]));
}

it('a job of scenes ends with the caption of each; one that is broken fails alone', async () => {
  const broken = { id: 'broken', image: BROKEN };
  const job = await create({ task: 'caption', items: [...items, broken] });
  expect(await ended(job)).toMatchObject({
    status: 'completed',
    items: { total: 5, completed: 4, failed: 1, canceled: 0 },
  });
  const captioned = Object.entries(CAPTIONS).map(([id, caption]) => {
    return { id, status: 200, result: { caption }, error: null };
  });
  expect(await linesOf(job)).toMatchObject([
    ...captioned,
    { id: 'broken', status: 400, result: null, error: { code: 'invalid-image' } },
  ]);
});

it('what waits when the service is stopped is run when it is started again', async () => {
  const questions = ['what is on the left?', 'what is on the right?', 'what is above?'];
  const asked = items.flatMap(({ id, image }) =>
    questions.map((question, i) => ({ id: `${id} ${i}`, image, question })),
  );
  const job = await create({ task: 'answer', items: asked });
  await stack.stop();
  await start();
  expect(await ended(job)).toMatchObject({
    status: 'completed',
    items: { total: 12, completed: 12, failed: 0, canceled: 0 },
  });
});
