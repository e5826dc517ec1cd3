/** Real processes: those of the worker, and some that never return, take all memory or crash. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { ApiError } from '@blip2/shared/errors';
import sharp from 'sharp';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { gradient } from '../../../test/support/gradient.ts';
import { pngOf } from '../../../test/support/large-png.ts';
import { temporaryFolder } from '../../../test/support/temporary-folder.ts';
import { endsWithParent } from '../ends-with-parent.ts';
import { restartDelayMs } from './decode-backoff.ts';
import { DecodePool, type DecodePoolOptions } from './decode-pool.ts';
import type { Ending } from './decode-process.ts';
import { BASE_MEMORY } from './decode-schedule.ts';
import { normalize } from './normalize.ts';
import { memoryOf } from './process-usage.ts';
import { resample } from './resample.ts';

const OBEDIENT = new URL('./testing/obedient-decoder.ts', import.meta.url);
const OPTIONS: DecodePoolOptions = {
  limits: { maxBytes: 2e7, maxPixels: 5e7 },
  processes: 2,
  timeoutMs: 60_000,
  imageMemory: 2 ** 30,
  totalMemory: 2 ** 31,
};
const spec = {
  ...{ size: 56, patch: 14, resample: 'bicubic' as const },
  mean: [0, 0, 0] as [number, number, number],
  std: [1, 1, 1] as [number, number, number],
};

const folder = temporaryFolder();
let pool: DecodePool;
const endings: Ending[] = [];
afterEach(async () => {
  endings.length = 0;
  await pool.stop();
});

async function start(options: Partial<DecodePoolOptions>, program?: URL): Promise<void> {
  pool = await DecodePool.start({ ...OPTIONS, ...options }, program);
  pool.listen({ onEnded: (ending) => endings.push(ending) });
}

const order = (text: string) => Buffer.from(`\x89PNG\r\n\x1a\n${text}`, 'latin1');
const patient = () => new AbortController().signal;

function decode(bytes: Uint8Array, client = '', signal = patient()) {
  return pool.decode(bytes, spec, { caller: { client, priority: 'interactive' }, signal });
}

async function refusalOf(decoding: Promise<unknown>): Promise<ApiError> {
  const error = await decoding.then(
    () => null,
    (thrown) => thrown,
  );
  expect(error).toBeInstanceOf(ApiError);
  return error as ApiError;
}

/** Processes that another one started, by their ids. */
function childrenOf(parent: number): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        const status = readFileSync(`/proc/${pid}/status`, 'utf8');
        return new RegExp(`^PPid:\\s*${parent}$`, 'm').test(status);
      } catch {
        return false;
      }
    });
}

describe('a process whose image', () => {
  it.each([
    ['spin', 'image-too-large', /more than the 1 seconds that it may/, 'deadline'],
    ['segfault', 'invalid-image', /^The decoder failed on this image: /, 'crash'],
  ] as const)('makes it %s ends alone and is replaced', async (text, slug, detail, ending) => {
    await start({ processes: 1, timeoutMs: 1000 }, OBEDIENT);
    const refused = refusalOf(decode(order(text)));
    const next = decode(order('paint'));
    const error = await refused;
    expect(error).toMatchObject({ slug, status: 400, extras: { field: 'image' } });
    expect(error.message).toMatch(detail);
    expect(JSON.stringify(error.toProblem())).not.toMatch(/secret|SIG/);
    expect((await next).pixels).toHaveLength(3 * 56 * 56);
    expect(endings).toEqual([ending]);
  });

  it('takes more memory than its header says ends alone', async () => {
    await start({ processes: 1 }, OBEDIENT);
    const error = await refusalOf(decode(order('eat')));
    expect(error).toMatchObject({ slug: 'image-too-large', status: 400 });
    expect(error.message).toMatch(/more than 320 MiB of memory, far more than its header says/);
    expect(await decode(order('paint'))).toMatchObject({ info: { format: 'png' } });
    expect(endings).toEqual(['memory']);
  });

  it('was not the reason of its end has the image decoded again, once', async () => {
    await start({ processes: 1 }, OBEDIENT);
    const error = await refusalOf(decode(order('be-killed')));
    expect(error).toMatchObject({ slug: 'overloaded', status: 503 });
    expect(endings).toHaveLength(2);
  });

  it('hangs without computing has the image decoded again, once', async () => {
    await start({ processes: 1 }, OBEDIENT);
    const error = await refusalOf(decode(order('hang')));
    expect(error).toMatchObject({ slug: 'overloaded', status: 503 });
    expect(endings).toEqual(['stuck', 'stuck']);
  });

  it('is stopped has the image decoded by another', async () => {
    await start({ processes: 1 }, OBEDIENT);
    const image = order(`stop-once ${join(folder, 'has-stopped')}`);
    expect(await decode(image)).toMatchObject({ info: { format: 'png' } });
    expect(endings).toEqual(['stuck']);
  });

  it('nobody waits for any more is answered at once and ended', async () => {
    await start({ processes: 1 }, OBEDIENT);
    const controller = new AbortController();
    const running = decode(order('hang'), '', controller.signal);
    const waiting = decode(order('paint'), '', controller.signal);
    const next = decode(order('paint'));
    expect(pool.waiting).toBe(2);
    controller.abort(new Error('gone'));
    expect(pool.waiting).toBe(1);
    await expect(running).rejects.toThrow('gone');
    await expect(waiting).rejects.toThrow('gone');
    await next;
    expect(endings).toEqual(['canceled']);
    expect(pool.memory).toBe(0);
  });

  it('crashes again and again leaves the others theirs', async () => {
    await start({ processes: 2 }, OBEDIENT);
    const crashes = Array.from({ length: 4 }, () => refusalOf(decode(order('segfault'), 'bad')));
    await decode(order('paint'), 'good');
    for (const error of await Promise.all(crashes)) expect(error.slug).toBe('invalid-image');
    expect(await decode(order('paint'), 'good')).toBeDefined();
  });
});

it('images wait for no process that is stopped', async () => {
  const before = new Set(childrenOf(process.pid));
  await start({ processes: 2 }, OBEDIENT);
  for (const pid of childrenOf(process.pid)) if (!before.has(pid)) process.kill(pid, 'SIGSTOP');
  expect(await decode(order('paint'))).toMatchObject({ info: { format: 'png' } });
  // On a busy machine their successors may be slow to answer, too.
  expect(endings).toContain('outside');
});

it('a process that is killed while it starts has not failed', async () => {
  const before = new Set(childrenOf(process.pid));
  await start({ processes: 1 }, OBEDIENT);
  const seen = new Set<number>(before);
  while (endings.length < 4) {
    for (const pid of childrenOf(process.pid)) {
      if (!seen.has(pid)) process.kill(pid, 'SIGKILL');
      seen.add(pid);
    }
    await setImmediate();
  }
  expect(endings).toEqual(['outside', 'outside', 'outside', 'outside']);
  expect(await decode(order('paint'))).toBeDefined();
});

it.each([
  [{ crashes: 1, kills: 1 }, 0],
  [{ crashes: 2, kills: 0 }, 200],
  [{ crashes: 99, kills: 0 }, 10_000],
  [{ crashes: 0, kills: 2 }, 200],
  [{ crashes: 0, kills: 99 }, 1000],
])('after %j the next start waits %i ms', (ends, ms) => {
  expect(restartDelayMs(ends)).toBe(ms);
});

it('what needs memory waits for it, and small images pass', async () => {
  await start({ processes: 3, totalMemory: 8 * BASE_MEMORY }, OBEDIENT);
  const done: string[] = [];
  const note = (name: string) => () => done.push(name);
  const heavy = order(`need ${5 * BASE_MEMORY}`);
  const first = decode(heavy, 'greedy').then(note('first'));
  const second = decode(heavy, 'greedy').then(note('second'));
  const small = decode(order('paint'), 'light').then(note('small'));
  await Promise.all([first, second, small]);
  expect(done).toHaveLength(3);
  expect(done.at(-1)).not.toBe('small');
});

it('images that were given up while they waited are no turns of their client', async () => {
  await start({ processes: 1 }, OBEDIENT);
  const done: string[] = [];
  const send = (client: string) =>
    decode(order('paint'), client).then(() => void done.push(client));
  const others = Array.from({ length: 6 }, () => send('other'));
  const controller = new AbortController();
  const left = Array.from({ length: 500 }, () => decode(order('paint'), 'a', controller.signal));
  controller.abort(new Error('gone'));
  await Promise.allSettled(left);
  await Promise.all([...others, send('a')]);
  // One was being decoded when all others came.
  expect(done.indexOf('a')).toBeLessThanOrEqual(2);
});

it('a program that does not start is an error with its last words', async () => {
  const program = new URL('./testing/missing.ts', import.meta.url);
  await expect(DecodePool.start(OPTIONS, program)).rejects.toThrow(/missing\.ts/);
});

/** Whether the kernel ends processes with the worker. */
const isEndedWithWorker = endsWithParent('', [])[0] !== '';

it.each<[string, NodeJS.Signals]>([
  ['in the middle of an image', 'SIGCONT'],
  ...(isEndedWithWorker ? [['while it is stopped', 'SIGSTOP'] as [string, NodeJS.Signals]] : []),
])('ends with a worker that is killed, %s too', async (_, signal) => {
  await start({ processes: 1 }, OBEDIENT);
  const path = (file: string) => JSON.stringify(new URL(file, import.meta.url).href);
  const worker = `
    import { DecodePool } from ${path('./decode-pool.ts')};
    import { pngOf } from ${path('../../../test/support/large-png.ts')};
    const pool = await DecodePool.start(${JSON.stringify({ ...OPTIONS, processes: 1 })});
    const bomb = await pngOf(7000, 7000);
    const caller = { client: '', priority: 'interactive' };
    const signal = new AbortController().signal;
    pool.decode(bomb, ${JSON.stringify(spec)}, { caller, signal });
    console.log('decodes');
    setInterval(() => {}, 1000);`;
  const host = spawn(process.execPath, ['--input-type=module', '--eval', worker], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(host.stdout, 'data');
  const decoders = childrenOf(host.pid as number);
  expect(decoders).toHaveLength(1);
  process.kill(decoders[0] as number, signal);
  host.kill('SIGKILL');
  await once(host, 'exit');
  await vi.waitFor(() => expect(memoryOf(decoders[0] as number)).toBeNull(), 30_000);
});

it('ends with the worker', async () => {
  await start({ processes: 2 }, OBEDIENT);
  expect(childrenOf(process.pid).length).toBeGreaterThanOrEqual(2);
  const error = refusalOf(decode(order('hang')));
  await pool.stop();
  expect((await error).slug).toBe('shutting-down');
});

describe('the decoder', () => {
  it.each([
    [1, 49_000_000],
    [49_000_000, 1],
    [2, 20_000_000],
  ])('refuses an image of %i × %i pixels by its header', async (width, height) => {
    await start({ processes: 1 });
    const error = await refusalOf(decode(await pngOf(width, height)));
    expect(error.toProblem()).toMatchObject({
      type: '/problems/image-too-large',
      limit: 1_000_000,
      actual: Math.max(width, height),
    });
    expect(endings).toEqual([]);
  });

  it.each([
    [1, 1],
    [1, 1_000_000],
    [1_000_000, 1],
    [2, 500_000],
  ])(
    'resizes an image of %i × %i pixels in the memory that its header says',
    async (width, height) => {
      await start({ processes: 1 });
      const image = gradient(width, height);
      const png = sharp(image.data, { raw: { width, height, channels: 3 } }).png();
      const { info, pixels } = await decode(await png.toBuffer());
      expect(info).toEqual({ width, height, format: 'png' });
      // Which equals Pillow's, as test/parity/resample.test.ts shows.
      const { size, resample: filter } = spec;
      expect(pixels).toEqual(normalize(resample(image, size, size, filter).data, spec));
      expect(endings).toEqual([]);
    },
  );

  it('decodes many of 50 megapixels in the memory of a few, and a small one meanwhile', async () => {
    await start({ processes: 3, totalMemory: 2 ** 30 });
    const before = new Set(childrenOf(process.pid));
    const small = await pngOf(9, 9);
    const bomb = await pngOf(7071, 7071);
    let most = 0;
    const watch = setInterval(() => {
      const memory = childrenOf(process.pid).map((pid) =>
        before.has(pid) ? (memoryOf(pid) ?? 0) : 0,
      );
      most = Math.max(
        most,
        memory.reduce((sum, one) => sum + one, 0),
      );
    }, 20);
    const rest = new AbortController();
    const all = Array.from({ length: 48 }, (_, i) => decode(bomb, `${i}`, rest.signal));
    await decode(small, 'light');
    expect(pool.waiting).toBeGreaterThan(40);
    await Promise.all(all.slice(0, 4));
    rest.abort(new Error('enough'));
    await Promise.allSettled(all);
    clearInterval(watch);
    expect(most).toBeGreaterThan(0);
    expect(most).toBeLessThan(2 ** 30);
    expect(endings).toEqual([]);
  });

  it('reads no format but the five, and says nothing of a library', async () => {
    await start({ processes: 1 });
    const path = Buffer.alloc(15_000_000, '<path d="M0 0"/>');
    const svg = Buffer.concat([Buffer.from('<svg xmlns="http://www.w3.org/2000/svg">'), path]);
    expect(await refusalOf(decode(svg))).toMatchObject({ slug: 'unsupported-media-type' });
    const error = await refusalOf(decode(order('nothing of a PNG')));
    expect(error.slug).toBe('invalid-image');
    expect(JSON.stringify(error.toProblem())).not.toMatch(/vips|sharp|pngload/i);
    expect(error.cause).toBeDefined();
  });
});

it('images of jobs are decoded though people send one after another', async () => {
  await start({ processes: 1 }, OBEDIENT);
  vi.useFakeTimers({ toFake: ['performance'] });
  try {
    let isDone = false;
    let images = 0;
    const people = async () => {
      for (; !isDone && images < 100; images++) {
        await decode(order('paint'));
        vi.advanceTimersByTime(100);
      }
    };
    const flood = [people(), people(), people()];
    const caller = { client: 'job', priority: 'background' } as const;
    await pool.decode(order('paint'), spec, { caller, signal: patient() });
    isDone = true;
    await Promise.all(flood);
    expect(images).toBeLessThan(30);
  } finally {
    vi.useRealTimers();
  }
});
