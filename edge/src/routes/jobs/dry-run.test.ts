import { beforeEach, describe, expect, it, vi } from 'vitest';
import { base64, newImage, startEdge, type TestEdge, testEnv } from '../../testing/edge.ts';
import { bulkReads } from '../../turns/bulk-reads.ts';
import { sharedTurns } from '../../turns/shared-turns.ts';
import { openingTurns } from './opening-turns.ts';

let edge: TestEdge;
beforeEach(() => {
  edge = startEdge();
});

const image = { sha256: 'a'.repeat(64) };
const create = (body: object) => edge.post('/v1/jobs', body);
const lines = (query: string, body: string, type = 'application/x-ndjson') =>
  edge.request(`/v1/jobs?${query}`, { method: 'POST', headers: { 'content-type': type }, body });

describe('dry_run', () => {
  const METRICS = `blip2_requests_total{kind="generate",outcome="done",execution_provider="cpu"} 40
blip2_requests_total{kind="generate",outcome="failed",execution_provider="cpu"} 7
blip2_engine_action_seconds_sum{action="images",execution_provider="cpu"} 3
blip2_engine_action_seconds_sum{action="step",execution_provider="cpu"} 1
blip2_num_requests_admitted{execution_provider="cpu"} 2
`;

  it('estimates items, known images and GPU seconds, and what they are based on', async () => {
    const known = newImage();
    await edge.post('/v1/captions', { image: { data: base64(known) } });
    await edge.settled();
    edge.gpu.script.metrics = METRICS;
    const items = [
      { image: { data: base64(known) } },
      { image: { data: base64(newImage()) } },
      { image: { url: 'https://images.example.org/a.png' } },
    ];
    const estimated = await create({ task: 'caption', dry_run: true, items });
    expect(estimated.status).toBe(200);
    expect(await estimated.json()).toEqual({
      object: 'job.estimate',
      task: 'caption',
      items: 3,
      known_images: 1,
      gpu_seconds: 0.3,
      waiting: 2,
      based_on: { images_looked_up: 2, requests: 40, seconds_per_item: 0.1 },
    });
  });

  it('waits for a few look-ups at a time', async () => {
    let [open, most] = [0, 0];
    const { run } = bulkReads;
    vi.spyOn(bulkReads, 'run').mockImplementation(async (...given) => {
      most = Math.max(most, ++open);
      try {
        return await run.apply(bulkReads, given);
      } finally {
        open--;
      }
    });
    const items = Array.from({ length: 40 }, (_, n) => ({
      image: { sha256: `${n}`.padStart(64, '0') },
    }));
    const estimated = await create({ task: 'caption', dry_run: true, items });
    vi.restoreAllMocks();
    expect(await estimated.json()).toMatchObject({ based_on: { images_looked_up: 40 } });
    expect(most).toBe(6);
  });

  it('expects nothing of a worker that has served little, or does not answer', async () => {
    const ask = async () =>
      (await create({ task: 'caption', dry_run: true, items: [{ image }] })).json();
    expect(await ask()).toMatchObject({ items: 1, gpu_seconds: null, waiting: 0 });
    edge.gpu.script.isGone = true;
    expect(await ask()).toMatchObject({ items: 1, gpu_seconds: null, waiting: null });
  });

  it('counts the lines of a body, and names the one that is wrong', async () => {
    const line = JSON.stringify({ image });
    const estimated = await lines('task=caption&dry_run=true', `${line}\n\n${line}\n${line}`);
    expect(await estimated.json()).toMatchObject({ items: 3, based_on: { images_looked_up: 3 } });
    const refused = await lines('task=caption&dry_run=true', `${line}\n\n{"image"\n`);
    expect(await refused.json()).toMatchObject({ field: 'line 3' });
    for (const bad of ['{"image":1,"image":2}', '{"__proto__":1}']) {
      const strict = await lines('task=caption&dry_run=true', `${line}\n${bad}\n`);
      expect(strict.status, bad).toBe(400);
    }
  });

  it.each([
    ['file:///etc/passwd', /begins with https/],
    ['http://127.0.0.1/', /not public/],
    ['https://me:word@a.example/', /no user or password/],
  ])('refuses the webhook %s as the creation does, before items are counted', async (url, why) => {
    const webhook = { url };
    const stored = { prefix: `${crypto.randomUUID()}/` };
    const bodies = [
      { task: 'caption', webhook, items: [{ image }] },
      { task: 'caption', webhook, input: stored },
      { task: 'caption', webhook, input: { file_id: 'file-1' } },
    ];
    const query = `task=caption&webhook=${encodeURIComponent(JSON.stringify(webhook))}`;
    for (const dry_run of [true, false]) {
      const replies = [
        ...(await Promise.all(bodies.map((body) => create({ ...body, dry_run })))),
        await lines(`${query}&dry_run=${dry_run}`, 'no line'),
      ];
      for (const reply of replies) {
        expect(await reply.json()).toMatchObject({
          ...{ status: 400, field: 'webhook.url' },
          detail: expect.stringMatching(why),
        });
      }
    }
  });

  it('refuses other options as the creation does', async () => {
    const refusals = async (dry_run: boolean) => {
      const queries = ['expires_after=1', 'metadata=[]', 'settings={"n":0}', 'task=paint', 'x=1'];
      return await Promise.all(
        queries.map(async (query) => {
          const reply = await lines(`task=caption&dry_run=${dry_run}&${query}`, 'no line');
          const { status, detail } = (await reply.json()) as { status: number; detail: string };
          return [status, detail];
        }),
      );
    };
    const refused = await refusals(true);
    expect(refused.map(([status]) => status)).toEqual([400, 400, 400, 400, 400]);
    expect(refused).toEqual(await refusals(false));
  });

  it('counts the images of a bucket', async () => {
    const images = testEnv.JOB_IMAGES as R2Bucket;
    const album = crypto.randomUUID();
    for (const name of ['a.png', 'b.jpg', 'notes.txt']) await images.put(`${album}/${name}`, 'x');
    const input = { prefix: `${album}/` };
    const estimated = await create({ task: 'caption', dry_run: true, input });
    expect(await estimated.json()).toMatchObject({ items: 2, based_on: { images_looked_up: 0 } });
  });

  it('reads no line that is longer than lines may be, and no more than a file has', async () => {
    const long = await lines('task=caption&dry_run=true', `{}\n${'x'.repeat(9 * 2 ** 20)}`);
    expect(await long.json()).toMatchObject({ field: 'line 2', limit: 8 * 2 ** 20 });
    edge = startEdge({ env: { JOBS_MAX_FILE_BYTES: '100' } });
    const many = await lines('task=caption&dry_run=true', '{}\n'.repeat(50));
    expect(many.status).toBe(413);
    const stored = await lines('task=caption', '{}\n'.repeat(50));
    expect(stored.status).toBe(413);
  });

  it('counts a stored file in turns of its owner, and blank lines only so far', async () => {
    const upload = async (text: string) => {
      const body = new FormData();
      body.set('purpose', 'batch');
      body.set('file', new File([text], 'lines.jsonl'));
      const sent = await edge.request('/v1/files', { method: 'POST', body });
      return { file_id: ((await sent.json()) as { id: string }).id };
    };
    const take = vi.spyOn(sharedTurns, 'take');
    const took = vi.spyOn(openingTurns, 'took');
    const count = async (text: string) =>
      await create({ task: 'caption', dry_run: true, input: await upload(text) });
    edge = startEdge({ env: { JOBS_MAX_ITEMS: '2000' } });
    const counted = await count('{}\n'.repeat(2000));
    expect(await counted.json()).toMatchObject({ items: 2000 });
    expect(take.mock.calls.length).toBeGreaterThan((2000 * 67) / 2 ** 15);
    expect(took).toHaveBeenCalledTimes(1);
    const refused = await count(' \n'.repeat(5001));
    expect(refused.status).toBe(400);
    expect(await refused.json()).toMatchObject({ field: 'line 5001', limit: 5000 });
  });
});
