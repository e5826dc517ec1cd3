/**
 * Measures the service times of a real worker: requests one at a time through the edge, whose processor time is read beside
 * their latencies; many sequences at a time at the worker; and two workers at a time, which slow each other down.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { WORKER_OPTIONS } from '@blip2/gpu-worker/config';
import * as z from 'zod/mini';
import { expectOk } from '../api.ts';
import { captionRequest, embed, freshImages, runDirect } from '../bench/requests.ts';
import { median } from '../bench/statistics.ts';
import { type Stack, startStack } from '../local-stack.ts';
import { aroundOf, type OneAtATime, tokenStages } from './around.ts';
import { difference, processorTime, timeOf } from './processor-time.ts';
import { ask, question } from './real-requests.ts';
import { condensed, type ServiceTimes } from './service-times.ts';
import { readTrace, type TracedAction } from './trace-file.ts';
import { workerCounts } from './worker-metrics.ts';

/** The engine of each worker computes with one thread, so that several have cores of their own as far as there are some. */
export const ONE_THREAD = { BLIP2_THREADS: '1' };

const Answer = z.object({ usage: z.object({ prompt_tokens: z.int() }) });

const PREFIX_CACHE_BYTES = WORKER_OPTIONS.prefixCacheMb.default * 2 ** 20;
const IMAGES = 60;
const WARM_UP = 30;
/** Of a long reply. */
const TOKENS = 32;
/**
 * Between two requests, one at a time: caches are cold after as long a sleep, of processor and system, as between the requests
 * of an open loop. A simulation of times that were measured back to back had half the time to the first token.
 */
const PAUSE_MS = 100;
const ROWS = [2, 3, 4, 6, 8];
const ROUNDS = 8;
/** Of each worker, to see how much two slow each other down. */
const REPLIES = 50;
/** The worker writes its trace as it goes. */
const WRITTEN_MS = 300;

export async function measureServiceTimes(
  command: string,
  status: (line: string) => void,
): Promise<ServiceTimes> {
  const { model, ...times } = await measureOne(status);
  status('Two workers at a time …');
  const cores = await measureCores();
  return {
    source: command,
    machine: `${cpus().length} × ${cpus()[0]?.model.trim()}, Node ${process.version}`,
    model,
    threads: 1,
    cores,
    ...times,
  };
}

async function measureOne(
  status: (line: string) => void,
): Promise<Pick<ServiceTimes, 'model' | 'engine' | 'hit' | 'miss' | 'token'>> {
  const folder = await mkdtemp(join(tmpdir(), 'service-times-'));
  const trace = join(folder, 'trace.json');
  status('Starting edge and GPU worker …');
  const stack = await startStack({ workerEnv: { ...ONE_THREAD, BLIP2_TRACE: trace } });
  try {
    const images = await freshImages(WARM_UP + IMAGES);
    const [known, fresh] = [images.slice(0, WARM_UP), images.slice(WARM_UP)];
    let asked = 0;
    const send = (image: Uint8Array<ArrayBuffer>, tokens: number) =>
      ask(stack.url, question(image, asked++, tokens));
    for (const image of [...known, ...known]) await send(image, TOKENS);
    const oneAtATime = async (tokens: number) => {
      const before = await processorTime(stack.worker.pid);
      const from = performance.timeOrigin + performance.now();
      const results = [];
      for (const image of fresh) {
        await delay(PAUSE_MS);
        results.push(await send(image, tokens));
      }
      const to = performance.timeOrigin + performance.now();
      const after = await processorTime(stack.worker.pid);
      return { results, from, to, processor: difference(after, before), tokens };
    };
    status('One request at a time …');
    const missed = await oneAtATime(1);
    const short = await oneAtATime(1);
    const long = await oneAtATime(TOKENS);
    status('Many sequences at a time …');
    const { prefixBytes, prefixMisses } = await workerCounts(stack.workerUrl);
    const batchesFrom = performance.timeOrigin + performance.now();
    await runBatches(stack, known);
    await delay(WRITTEN_MS);
    const actions = await readTrace(trace);
    const during = ({ from, to }: { from: number; to: number }) =>
      actions.filter(({ at }) => at >= from && at < to);
    const miss = oneAtATimeOf(missed, during(missed));
    const hit = oneAtATimeOf(short, during(short));
    const longHit = oneAtATimeOf(long, during(long));
    const token = tokenStages(hit, longHit, TOKENS - 1);
    const batches = actions.filter(({ at }) => at >= batchesFrom);
    const ms = (from: readonly TracedAction[], name: TracedAction['name'], rows?: number) =>
      from
        .filter((action) => action.name === name && (rows === undefined || action.rows === rows))
        .map((action) => action.ms);
    const positions = await promptTokens(stack.url, known[0]!);
    return {
      model: stack.model.name,
      engine: {
        encode: condensed(ms(during(missed), 'images')),
        prefillNew: condensed(ms(during(missed), 'prefill')),
        prefillKnown: [
          { rows: 1, ms: condensed(ms(during(short), 'prefill')) },
          ...byRows(batches, 'prefill'),
        ],
        step: [{ rows: 1, ms: condensed(ms(during(long), 'step')) }, ...byRows(batches, 'step')],
        newPositions: positions,
        knownPositions: positions - stack.model.num_query_tokens,
        // With what is cached of their texts.
        prefixImages: Math.floor((PREFIX_CACHE_BYTES * prefixMisses) / prefixBytes),
      },
      hit: aroundOf(hit, token),
      miss: aroundOf(miss, token),
      token,
    };
  } finally {
    await stack.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

/** Positions of the prompt of a question, those of the image included. */
async function promptTokens(url: string, image: Uint8Array<ArrayBuffer>): Promise<number> {
  const { path, ...request } = question(image, 0, 1);
  const response = await expectOk(
    await fetch(url + path.replace('stream=true', ''), request as RequestInit),
  );
  return Answer.parse(await response.json()).usage.prompt_tokens;
}

/** So many sequences at a time, at the worker itself: others of this machine have less to do meanwhile. */
async function runBatches(stack: Stack, images: readonly Uint8Array[]): Promise<void> {
  const sources = [];
  for (const image of images.slice(0, Math.max(...ROWS))) {
    sources.push((await embed(stack, image)).source);
  }
  for (let round = 0; round < ROUNDS; round++) {
    for (const rows of ROWS) {
      const request = captionRequest(stack.model, TOKENS);
      await Promise.all(sources.slice(0, rows).map((source) => runDirect(stack, request, source)));
    }
  }
}

/** Fewer than so many times say little. */
const LEAST = 8;

function byRows(actions: readonly TracedAction[], name: TracedAction['name']) {
  return ROWS.flatMap((rows) => {
    const times = actions.filter((action) => action.name === name && action.rows === rows);
    return times.length < LEAST ? [] : [{ rows, ms: condensed(times.map(({ ms }) => ms)) }];
  });
}

type Phase = {
  results: Awaited<ReturnType<typeof ask>>[];
  processor: OneAtATime['processor'];
};

function oneAtATimeOf({ results, processor }: Phase, actions: readonly TracedAction[]): OneAtATime {
  const count = results.length;
  const spent = (of: readonly TracedAction[]) => of.reduce((sum, { ms }) => sum + ms, 0);
  const beforeToken = actions.filter(({ name }) => name !== 'step');
  const ways = results.map(({ firstTokenAt, sentAt, endAt }) => {
    const [from, to] = [sentAt, endAt].map((at) => performance.timeOrigin + at) as [number, number];
    const own = beforeToken.filter(({ at }) => at >= from && at < to);
    return (firstTokenAt ?? endAt) - sentAt - spent(own);
  });
  return {
    ways,
    back: median(results.map(({ firstTokenAt, endAt }) => endAt - (firstTokenAt ?? endAt))),
    engine: spent(actions) / count,
    processor: {
      client: processor.client / count,
      edge: processor.edge / count,
      worker: processor.worker / count,
      decoders: processor.decoders / count,
    },
  };
}

/**
 * What cores compute together, of what one computes alone: threads that slow each other down need more processor time for the
 * same. Long replies of one worker, and of two at a time.
 */
async function measureCores(): Promise<number[]> {
  const stack = await startStack({ workers: 2, workerEnv: ONE_THREAD });
  try {
    const [image] = await freshImages(1);
    const { source } = await embed(stack, image!);
    const request = captionRequest(stack.model, TOKENS);
    /** Processor time of each of them for one reply, ms. */
    const time = async (workers: typeof stack.workers) => {
      const total = async () => {
        const times = await Promise.all(workers.map(({ process: { pid } }) => timeOf(pid)));
        return times.reduce((sum, ms) => sum + ms, 0);
      };
      const before = await total();
      for (let i = 0; i < REPLIES; i++) {
        await Promise.all(workers.map(({ url }) => runDirect({ workerUrl: url }, request, source)));
      }
      return ((await total()) - before) / workers.length / REPLIES;
    };
    await time(stack.workers);
    const alone = (await time(stack.workers.slice(0, 1))) + (await time(stack.workers.slice(1)));
    const together = await time(stack.workers);
    const both = Math.min(2, alone / together);
    // Further cores are taken to slow each other down as the first two.
    return Array.from({ length: availableParallelism() }, (_, i) =>
      i === 0 ? 1 : Number(((both / 2) * (i + 1)).toFixed(3)),
    );
  } finally {
    await stack.stop();
  }
}
