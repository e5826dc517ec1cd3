/** Items of jobs from a real queue through the real engine to an edge, whatever happens on the way. */
import { createHash } from 'node:crypto';
import { ReceiveMessageCommand } from '@aws-sdk/client-sqs';
import type { FrameType } from '@blip2/shared/frames';
import { readFrames } from '@blip2/shared/frames';
import type { ItemOutcome } from '@blip2/shared/jobs/commit';
import { GenerationConfig } from '@blip2/shared/wire';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { allowPasses, openGate } from '../engine/testing/gate.ts';
import { BodyMemory } from '../http/body-memory.ts';
import { createSqsClient } from './queue.ts';
import { JobsSetup } from './testing/jobs-setup.ts';

let test: JobsSetup;
beforeAll(async () => {
  test = await JobsSetup.start();
});
beforeEach(() => test.reset());
afterEach(async () => {
  openGate(test.gate);
  await test.end();
});
afterAll(() => test?.[Symbol.asyncDispose]());

const eventually = { timeout: 20_000 };
const NOBODY = { ready: 0, held: 0 };
const isEmpty = () => expect.poll(() => test.queued(), eventually).toEqual(NOBODY);
const logged = (event: string) => test.lines.filter((line) => line.event === event);

async function typesOf(outcome: ItemOutcome | undefined): Promise<FrameType[]> {
  if (outcome?.kind !== 'frames') throw new Error(JSON.stringify(outcome));
  const frames = readFrames(new Blob([Buffer.from(outcome.frames, 'base64')]).stream());
  return (await Array.fromAsync(frames)).map(({ type }) => type);
}

describe('items of jobs', () => {
  it('are each committed once, and their messages are gone', async () => {
    const { edge } = test;
    edge.bucket.set('red', test.image);
    const source = { url: `${edge.url}/bucket/red` };
    for (let item = 0; item < 24; item++) {
      test.send(test.message(item, item % 2 === 0 ? {} : { source }));
    }
    test.send(test.message(24, { wants_embeddings: true }));
    test.consume();
    await expect.poll(() => edge.taken.size, eventually).toBe(25);
    await isEmpty();
    expect(edge.commits.flat().sort((a, b) => a - b)).toEqual([...Array(25).keys()]);
    expect(edge.sourcesAsked).toHaveLength(13);
    expect(edge.unsigned).toBe(0);
    expect(await typesOf(edge.taken.get(1))).not.toContain('embeddings');
    expect((await typesOf(edge.taken.get(1))).at(-1)).toBe('done');
    expect(await typesOf(edge.taken.get(24))).toContain('embeddings');
    const sha256 = createHash('sha256').update(test.image).digest('hex');
    for (const outcome of edge.taken.values()) expect(outcome).toMatchObject({ sha256 });
    expect(test.dependencies.engine.admitted).toBe(0);
    expect(test.dependencies.bodyMemory.held).toBe(0);
  });

  it('are counted: messages, how items ended, commits and what was taken of them', async () => {
    const value = async (line: string) => {
      const { text } = await test.dependencies.metrics.scrape('');
      const [, found] = new RegExp(`^${line}(?:,[^}]*)?}? (\\S+)$`, 'm').exec(text) ?? [];
      return Number(found ?? 0);
    };
    const names = [
      'blip2_job_messages_received_total{queue="items"',
      'blip2_job_items_total{outcome="done"',
      'blip2_job_items_total{outcome="over"',
      'blip2_job_commits_total{outcome="failed"',
      'blip2_job_results_total{result="fresh"',
      'blip2_job_results_total{result="duplicate"',
    ];
    const before = await Promise.all(names.map(value));
    const faults = [503] as const;
    let commits = 0;
    test.edge.fault = () => faults[commits++] ?? null;
    for (const item of [1, 2, 2]) test.send(test.message(item));
    test.send(test.message(3, { expires_at: 1 }));
    test.consume({ commitMs: 200 });
    await isEmpty();
    const after = await Promise.all(names.map(value));
    expect(after.map((count, i) => count - (before[i] ?? 0))).toEqual([4, 3, 1, 1, 2, 1]);
    // The queue is empty before its reply, that the messages are deleted, is here.
    const held = 'blip2_job_messages_held{execution_provider="cpu"';
    await expect.poll(() => value(held), eventually).toBe(0);
  });

  it('that come twice are committed twice, of which the edge takes one', async () => {
    for (const item of [5, 5]) test.send(test.message(item));
    test.consume();
    await expect.poll(() => test.edge.duplicates, eventually).toBe(1);
    await isEmpty();
    expect([...test.edge.taken.keys()]).toEqual([5]);
  });

  it('are committed again after a failure and a lost reply, before their messages go', async () => {
    const faults = [503, 'lost'] as const;
    const held: number[] = [];
    test.edge.fault = () => {
      held.push(test.queued().held);
      return faults[held.length - 1] ?? null;
    };
    test.send(test.message(7));
    test.consume();
    await isEmpty();
    expect(test.edge.commits).toEqual([[7], [7], [7]]);
    expect(held).toEqual([1, 1, 1]);
    expect(test.edge.duplicates).toBe(1);
    expect(test.edge.sourcesAsked).toEqual([7]);
  });

  it('of a part that is gone are forgotten', async () => {
    test.edge.fault = () => 410;
    test.send(test.message(1));
    test.consume();
    await isEmpty();
    expect(test.edge.taken.size).toBe(0);
  });

  it('of which one makes a commit invalid are committed without it', async () => {
    test.edge.fault = (items) => (items.includes(2) ? 400 : null);
    for (const item of [1, 2, 3]) test.send(test.message(item));
    test.consume({ commitMs: 500 });
    await expect.poll(() => [...test.edge.taken.keys()].sort(), eventually).toEqual([1, 3]);
    await expect.poll(() => test.queued(), eventually).toEqual({ ready: 0, held: 1 });
    // It may be the last of them.
    await expect.poll(() => logged('commit-refused'), eventually).toMatchObject([{ status: 400 }]);
  });

  it('whose failure another try would meet again have it as their result', async () => {
    test.edge.bucket.set('text', new TextEncoder().encode('no image'));
    test.edge.bucket.set('large', new Uint8Array(1_000_001));
    test.send(test.message(1, { source: { url: `${test.edge.url}/bucket/text` } }));
    test.send(test.message(2, { source: { url: `${test.edge.url}/bucket/large` } }));
    const generation = GenerationConfig.parse({ max_tokens: 32_000 });
    test.send(test.message(3, { task: { kind: 'generate', input_ids: [2], generation } }));
    test.consume();
    await isEmpty();
    const types = [1, 2, 3].map((item) => {
      const outcome = test.edge.taken.get(item);
      return outcome?.kind === 'failed' ? outcome.problem.type : outcome?.kind;
    });
    expect(types).toEqual([
      '/problems/invalid-image',
      '/problems/body-too-large',
      '/problems/prompt-too-long',
    ]);
  });

  it('whose failure may pass come back later', async () => {
    test.edge.source = () => 503;
    test.send(test.message(1));
    test.send(test.message(2, { revision: 'another' }));
    test.consume();
    await expect.poll(() => logged('item-again').length, eventually).toBe(2);
    const seconds = () =>
      test.messages().inflight.map(({ visibilityDeadline }) => visibilityDeadline - Date.now());
    await expect.poll(() => Math.max(...seconds()), eventually).toBeLessThan(15_001);
    expect(test.queued()).toEqual({ ready: 0, held: 2 });
    expect(test.edge.commits).toEqual([]);
    const problems = logged('item-again').map(({ problem }) => problem);
    expect(problems.sort()).toEqual(['bad-gateway', 'model-mismatch']);
  });

  it('wait for an edge that is away, and are not released', async () => {
    const { edge } = test;
    edge.isAway = true;
    for (const item of [1, 2]) test.send(test.message(item));
    test.consume();
    await expect.poll(() => edge.cut, eventually).toBeGreaterThan(6);
    expect(test.queued()).toEqual({ ready: 0, held: 2 });
    edge.isAway = false;
    await isEmpty();
    expect([...edge.taken.keys()].toSorted()).toEqual([1, 2]);
    expect(logged('item-again')).toEqual([]);
  });

  it('get from the edge what the bucket no longer gives', async () => {
    test.send(test.message(1, { source: { url: `${test.edge.url}/bucket/none` } }));
    test.consume();
    await isEmpty();
    expect(test.edge.sourcesAsked).toEqual([1]);
    expect(test.edge.taken.get(1)?.kind).toBe('frames');
  });

  it('that have ended or expired are not run', async () => {
    test.edge.source = () => 410;
    test.send(test.message(1));
    test.send(test.message(2, { expires_at: Date.now() - 1 }));
    test.consume();
    await isEmpty();
    expect(test.edge.commits).toEqual([]);
    expect(test.edge.sourcesAsked).toEqual([1]);
  });

  it('of a canceled job are not run once a commit says so', async () => {
    test.edge.state = 'canceled';
    test.send(test.message(1));
    test.consume();
    await isEmpty();
    test.edge.state = 'running';
    const other = 'cd'.repeat(48);
    for (const item of [2, 3]) test.send(test.message(item));
    test.send(test.message(4, { job: other }));
    await isEmpty();
    expect([...test.edge.taken.keys()]).toEqual([1, 4]);
    expect(test.edge.sourcesAsked).toEqual([1, 4]);
  });

  it('of a part whose items have all ended are not run once a commit says so', async () => {
    test.edge.state = 'ended';
    test.send(test.message(1));
    test.consume();
    await isEmpty();
    test.edge.state = 'running';
    for (const item of [2, 3]) test.send(test.message(item));
    test.send(test.message(4, { part: 1 }));
    await isEmpty();
    expect([...test.edge.taken.keys()]).toEqual([1, 4]);
  });

  it('wait while requests have all places', async () => {
    const { engine } = test.dependencies;
    const places = Array.from({ length: 8 }, () =>
      engine.admit({ client: '', priority: 'interactive' }),
    );
    test.send(test.message(1));
    test.consume();
    expect(engine.backgroundPlaces).toBe(0);
    expect(test.queued()).toEqual({ ready: 1, held: 0 });
    for (const place of places) place[Symbol.dispose]();
    await isEmpty();
    expect(test.edge.taken.size).toBe(1);
  });

  it('that came often are run alone, after the others, those that came least first', async () => {
    const order: string[] = [];
    const { edge } = test;
    const client = createSqsClient(test.config);
    const receive = async () => {
      const command = { QueueUrl: test.config.queueUrl, MaxNumberOfMessages: 10 };
      await client.send(new ReceiveMessageCommand(command));
    };
    test.send(test.message(9));
    await receive();
    for (const item of [7, 8]) test.send(test.message(item));
    await receive();
    await receive();
    client.destroy();
    test.send(test.message(1));
    const frame = edge.source(0) as Uint8Array;
    edge.source = (item) => {
      if (item !== 1) order.push(`read ${item}`);
      return frame;
    };
    edge.fault = (items) => {
      order.push(`commit ${items}`);
      return null;
    };
    test.consume();
    await isEmpty();
    // Each is read once to see whether it can be, and then again, when it is run.
    const alone = order.slice(order.indexOf('commit 1') + 1);
    expect(alone.slice(-6)).toEqual([
      alone.at(-6),
      alone.at(-5),
      alone.at(-4),
      alone.at(-3),
      'read 9',
      'commit 9',
    ]);
    const pairs = [7, 8].map(
      (item) => alone.lastIndexOf(`commit ${item}`) - alone.lastIndexOf(`read ${item}`),
    );
    expect(pairs).toEqual([1, 1]);
    // The edge knows of each before it is run.
    expect(edge.begun.toSorted()).toEqual([7, 8, 9]);
    expect(edge.begun.at(-1)).toBe(9);
  });

  it('that the edge suspects are run alone the first time that they come, after all others', async () => {
    const { edge } = test;
    const order: string[] = [];
    edge.fault = (items) => {
      order.push(...items.map((item) => `commit ${item}`));
      return null;
    };
    edge.beginStatus = (item) => {
      order.push(`begin ${item}`);
      return 204;
    };
    test.send(test.message(9), 'jobs', true);
    for (const item of [1, 2]) test.send(test.message(item));
    test.consume();
    await isEmpty();
    expect(order.slice(0, 2).toSorted()).toEqual(['commit 1', 'commit 2']);
    expect(order.slice(2)).toEqual(['begin 9', 'commit 9']);
  });

  it('that the edge does not let begin for now wait for it, each time as the same attempt', async () => {
    const faults = [503, 'lost', 401] as const;
    let asked = 0;
    test.edge.beginStatus = () => faults[asked++] ?? 204;
    test.send(test.message(1), 'jobs', true);
    test.consume();
    await isEmpty();
    expect(test.edge.begun).toEqual([1, 1, 1, 1]);
    expect(new Set(test.edge.attempts).size).toBe(1);
    expect([...test.edge.taken.keys()]).toEqual([1]);
    expect(logged('item-again')).toEqual([]);
  });

  it('that were begun too often, as the edge says, are run no more', async () => {
    const client = createSqsClient(test.config);
    const command = { QueueUrl: test.config.queueUrl, MaxNumberOfMessages: 10 };
    test.send(test.message(1));
    for (let i = 0; i < 2; i++) await client.send(new ReceiveMessageCommand(command));
    client.destroy();
    test.edge.beginStatus = () => 410;
    test.consume();
    await isEmpty();
    expect(test.edge.begun).toEqual([1]);
    expect(test.edge.commits).toEqual([]);
    expect(test.dependencies.engine.admitted).toBe(0);
    expect(test.dependencies.bodyMemory.held).toBe(0);
  });

  it('that came often and have no image now hold up nobody', async () => {
    const client = createSqsClient(test.config);
    const command = { QueueUrl: test.config.queueUrl, MaxNumberOfMessages: 10 };
    test.send(test.message(1));
    for (let i = 0; i < 2; i++) await client.send(new ReceiveMessageCommand(command));
    client.destroy();
    const frame = test.edge.source(0) as Uint8Array;
    const hanging = Promise.withResolvers<number>();
    test.edge.source = (item) => (item === 1 ? hanging.promise : frame);
    test.consume();
    await expect.poll(() => test.edge.sourcesAsked, eventually).toEqual([1]);
    test.send(test.message(2));
    await expect.poll(() => [...test.edge.taken.keys()], eventually).toEqual([2]);
    hanging.resolve(410);
    await isEmpty();
  });

  it('that came often are read once, and hold what was read until their turn', async () => {
    const client = createSqsClient(test.config);
    const command = { QueueUrl: test.config.queueUrl, MaxNumberOfMessages: 10 };
    for (const item of [1, 2, 3]) test.send(test.message(item));
    for (let i = 0; i < 2; i++) await client.send(new ReceiveMessageCommand(command));
    client.destroy();
    const { bodyMemory } = test.dependencies;
    const roomy = new BodyMemory(2e6);
    test.dependencies.bodyMemory = roomy;
    test.consume();
    await isEmpty();
    test.dependencies.bodyMemory = bodyMemory;
    expect(test.edge.sourcesAsked.toSorted()).toEqual([1, 2, 3]);
    expect(test.edge.begun.toSorted()).toEqual([1, 2, 3]);
    expect(roomy.held).toBe(0);
    expect(roomy.retain(5e5, 1e6)).not.toBeNull();
  });

  it('that wait to run alone go back while others take long, and are run once these have ended', async () => {
    allowPasses(test.gate, 0);
    test.send(test.message(1));
    test.consume({ suspectMs: 20, againS: 1 });
    await expect.poll(() => test.dependencies.engine.admitted, eventually).toBe(1);
    test.send(test.message(9), 'jobs', true);
    await expect.poll(() => logged('item-again').length, eventually).toBe(1);
    expect(logged('item-again')[0]).toMatchObject({ problem: 'overloaded' });
    expect(test.edge.begun).toEqual([]);
    expect(test.dependencies.bodyMemory.held).toBe(0);
    openGate(test.gate);
    await isEmpty();
    expect(test.edge.begun).toEqual([9]);
    expect([...test.edge.taken.keys()].toSorted()).toEqual([1, 9]);
  });

  it('that came often because their image could not be had are not run alone', async () => {
    const { edge } = test;
    const frame = edge.source(0) as Uint8Array;
    let failures = 0;
    edge.source = () => (failures++ < 2 ? 503 : frame);
    test.send(test.message(1));
    test.consume({ againS: 0 });
    await isEmpty();
    expect(edge.sourcesAsked).toEqual([1, 1, 1]);
    expect(edge.begun).toEqual([]);
    expect([...edge.taken.keys()]).toEqual([1]);
  });

  it('that came often because other workers could not have their image are not run alone', async () => {
    const client = createSqsClient(test.config);
    const command = { QueueUrl: test.config.queueUrl, MaxNumberOfMessages: 10 };
    for (const item of [1, 2]) test.send(test.message(item));
    for (let i = 0; i < 3; i++) await client.send(new ReceiveMessageCommand(command));
    client.destroy();
    test.edge.sourceFailures = 2;
    test.consume();
    await isEmpty();
    expect(test.edge.begun).toEqual([]);
    expect([...test.edge.taken.keys()].sort()).toEqual([1, 2]);
    expect(test.dependencies.bodyMemory.held).toBe(0);
  });

  it('that came often and find no room until their turn go back, and are not read in it', async () => {
    const client = createSqsClient(test.config);
    const command = { QueueUrl: test.config.queueUrl, MaxNumberOfMessages: 10 };
    for (const item of [1, 2]) test.send(test.message(item));
    for (let i = 0; i < 2; i++) await client.send(new ReceiveMessageCommand(command));
    client.destroy();
    const { bodyMemory } = test.dependencies;
    const memory = new BodyMemory(2e6);
    const retain = memory.retain.bind(memory);
    let retained = 0;
    // Room for one.
    memory.retain = (bytes, largest) => (retained++ === 1 ? null : retain(bytes, largest));
    test.dependencies.bodyMemory = memory;
    const order: string[] = [];
    const { edge } = test;
    const frame = edge.source(0) as Uint8Array;
    edge.source = (item) => {
      order.push(`read ${item}`);
      return frame;
    };
    edge.beginStatus = (item) => {
      order.push(`begin ${item}`);
      return 204;
    };
    test.consume({ againS: 0 });
    await isEmpty();
    test.dependencies.bodyMemory = bodyMemory;
    expect(logged('item-again')).toMatchObject([{ problem: 'overloaded' }]);
    const reads = order.filter((step) => step.startsWith('read')).length;
    expect([reads, edge.begun.toSorted()]).toEqual([3, [1, 2]]);
    expect(memory.held).toBe(0);
  });

  it.each([
    ['are read again with a place', 200, ['result']],
    ['are over where they have ended meanwhile', 410, []],
    [
      'go back where their image cannot be had any more, and are read again',
      503,
      ['again', 'result'],
    ],
  ])('that are not to run alone after all and find no room %s', async (_what, second, ends) => {
    const client = createSqsClient(test.config);
    const command = { QueueUrl: test.config.queueUrl, MaxNumberOfMessages: 10 };
    test.send(test.message(1));
    for (let i = 0; i < 2; i++) await client.send(new ReceiveMessageCommand(command));
    client.destroy();
    const { edge, dependencies } = test;
    const frame = edge.source(0) as Uint8Array;
    let reads = 0;
    edge.source = () => (++reads === 2 && second !== 200 ? second : frame);
    edge.sourceFailures = 2;
    const { bodyMemory } = dependencies;
    const memory = new BodyMemory(1e6);
    memory.retain = () => null;
    dependencies.bodyMemory = memory;
    test.consume({ againS: 0 });
    await isEmpty();
    dependencies.bodyMemory = bodyMemory;
    expect(reads).toBe(ends.length === 2 ? 3 : 2);
    expect(logged('item-again')).toHaveLength(ends.includes('again') ? 1 : 0);
    expect([...edge.taken.values()].map(({ kind }) => kind)).toEqual(
      ends.includes('result') ? ['frames'] : [],
    );
    expect(memory.held).toBe(0);
  });

  it('stay hidden from others for as long as they are run', async () => {
    allowPasses(test.gate, 0);
    test.send(test.message(1));
    test.visibilityS = 2;
    test.consume();
    const until = () => test.messages().inflight[0]?.visibilityDeadline ?? 0;
    await expect.poll(until, eventually).toBeGreaterThan(0);
    const first = until();
    await expect.poll(until, eventually).toBeGreaterThan(first);
  });

  it('that this version does not know stay in the queue', async () => {
    test.send('{"v": 2}');
    test.send('no JSON');
    test.consume();
    await expect.poll(() => logged('no-item').length, eventually).toBe(2);
    expect(test.queued()).toEqual({ ready: 0, held: 2 });
  });

  it('that came back too often are committed as given up', async () => {
    test.send(test.message(3), 'dead');
    test.send('no JSON', 'dead');
    test.consume();
    await expect.poll(() => test.queued('dead'), eventually).toEqual(NOBODY);
    await expect.poll(() => test.edge.taken.get(3)).toEqual({ kind: 'gave-up', receives: 1 });
  });
});

describe('a worker that is stopped', () => {
  /** Of half of its places, each taken by an item whose pass does not come: it receives nothing more. */
  const full = () => expect.poll(() => test.dependencies.engine.admitted, eventually).toBe(4);

  it('finishes and commits what runs, and receives nothing more', async () => {
    allowPasses(test.gate, 0);
    for (let item = 0; item < 6; item++) test.send(test.message(item));
    test.consume();
    await full();
    const stopped = test.jobs?.stop();
    openGate(test.gate);
    await stopped;
    expect(test.edge.taken.size).toBe(4);
    expect(test.queued()).toEqual({ ready: 2, held: 0 });
  });

  it('leaves to others at once what takes too long, and what no edge takes', async () => {
    test.edge.fault = () => 503;
    test.send(test.message(6));
    test.consume();
    await expect.poll(() => logged('not-committed').length, eventually).toBeGreaterThan(0);
    allowPasses(test.gate, 0);
    for (let item = 0; item < 6; item++) test.send(test.message(item));
    await full();
    await test.jobs?.stop(50);
    expect(test.queued()).toEqual({ ready: 7, held: 0 });
    expect(test.edge.taken.size).toBe(0);
    expect(test.dependencies.engine.admitted).toBe(0);
  });
});
