/** The worker's log of its requests. */
import { request as httpRequest } from 'node:http';
import { encodeJsonFrame } from '@blip2/shared/frames';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { allowPasses, openGate } from '../engine/testing/gate.ts';
import { gateEngine } from '../testing/crash-engine.ts';
import { endless, framesOf, TestWorker } from './testing/test-worker.ts';

let test: TestWorker;
const gate = gateEngine();
beforeAll(async () => {
  test = await TestWorker.start();
});
afterAll(() => test?.worker.stop());

const withId = (id: string) => ({ headers: { 'x-request-id': id } });

describe('the log', () => {
  it('has a line for each run, with the id that the edge gave it', async () => {
    await framesOf(await test.send(test.generate(), test.image(0), withId('of-the-edge')));
    expect(await test.linesOf('of-the-edge')).toEqual([
      {
        time: expect.any(String),
        level: 'info',
        event: 'request',
        request_id: 'of-the-edge',
        path: '/v1/run',
        kind: 'generate',
        status: 200,
        outcome: 'done',
        ms: expect.any(Number),
        first_token_ms: expect.any(Number),
      },
    ]);
  });

  it('says when the first token of a run came, and nothing where none comes', async () => {
    await framesOf(await test.send(test.generate(), test.image(0), withId('first-token')));
    const [line = {}] = await test.linesOf('first-token');
    expect(line.first_token_ms).toBeGreaterThan(0);
    expect(line.first_token_ms).toBeLessThanOrEqual(line.ms as number);
    await framesOf(await test.send(test.embed(), test.image(0), withId('no-token')));
    expect(await test.linesOf('no-token')).toMatchObject([{ outcome: 'done' }]);
    expect((await test.linesOf('no-token'))[0]).not.toHaveProperty('first_token_ms');
  });

  it('names a run without a header by the id in its frame', async () => {
    const request = test.generate({ request_id: 'of-the-frame' });
    await framesOf(await test.send(request, test.image(0)));
    expect(await test.linesOf('of-the-frame')).toHaveLength(1);
  });

  it('names the problem that ended a run', async () => {
    await test.send(test.generate({ revision: 'x' }), test.image(0), withId('refused'));
    const line = { level: 'info', status: 409, outcome: 'model-mismatch' };
    expect(await test.linesOf('refused')).toMatchObject([line]);
  });

  it('names deadline-exceeded when the deadline of a run has passed', async () => {
    const request = test.generate({ deadline_ms: 1, generation: endless(200) });
    const response = await test.send(request, test.image(0), withId('late'));
    // A stream, or a problem where the deadline has passed before its first frame.
    await response.arrayBuffer();
    const line = { status: response.status, outcome: 'deadline-exceeded' };
    expect(await test.linesOf('late')).toMatchObject([line]);
  });

  it('has the outcome canceled for a run whose client went away', async () => {
    const leaving = new AbortController();
    const { signal } = leaving;
    const request = test.generate({ generation: endless(200) });
    allowPasses(gate, 8);
    const response = await test.send(request, test.image(0), { ...withId('gone'), signal });
    await response.body!.getReader().read();
    leaving.abort();
    expect(await test.linesOf('gone')).toMatchObject([{ outcome: 'canceled' }]);
    openGate(gate);
  });

  it('has the outcome canceled for a run whose client went away during the upload', async () => {
    const upload = httpRequest(`${test.worker.url}/v1/run`, {
      method: 'POST',
      ...withId('half-way'),
    });
    upload.on('error', () => {});
    upload.write(encodeJsonFrame('request', test.generate()), () => upload.destroy());
    const line = { level: 'info', status: 499, outcome: 'canceled' };
    expect(await test.linesOf('half-way')).toMatchObject([line]);
  });

  it('has probes at the level debug', async () => {
    await fetch(`${test.worker.url}/healthz`, withId('probe'));
    const line = { level: 'debug', method: 'GET', path: '/healthz', status: 200 };
    expect(await test.linesOf('probe')).toMatchObject([line]);
  });
});
