/**
 * What a running job costs those who ask: time to first token on a service that does nothing else, and while its GPU worker runs items.
 * Both by turns on one service, with the same requests in an open loop: questions by hash, and questions about new images.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { randomOf } from '../chaos/random.ts';
import { exchange } from '../load/exchange.ts';
import { json, upload } from '../load/mix.ts';
import { dueTimes, openLoop, systemClock } from '../load/open-loop.ts';
import { type ImageSupply, type KnownImage, knownImages, supplyOf } from '../load/scenes.ts';
import { startStack } from '../local-stack.ts';
import { makeItems } from './items.ts';
import { JobClient } from './job-client.ts';

export type InteractivePlan = {
  seed: number;
  /** Requests a second. */
  rate: number;
  /** Of each of the turns. */
  seconds: number;
  turns: number;
  report: (line: string) => void;
};

type Kind = 'by hash' | 'new image';
/** Milliseconds to the first token. */
type Waits = Record<Kind, number[]>;
export type InteractiveReport = {
  idle: Waits;
  busy: Waits;
  failures: string[];
  /** Items of the job that ended in a second while others asked, and the questions that were answered meanwhile. */
  itemsPerSecond: number;
};

const KNOWN = 24;
/** More than are run in one turn. */
const ITEMS = 1500;
/** Until the pipeline of a job is full, and until what is under way has ended. */
const SETTLE_MS = 3000;

export async function proveInteractive(plan: InteractivePlan): Promise<InteractiveReport> {
  const { seed, rate, seconds, turns, report } = plan;
  const random = randomOf(seed);
  const [known, items] = [await knownImages(KNOWN), await makeItems(ITEMS, 0, random)];
  const supply = supplyOf(known, random.next);
  await using after = new AsyncDisposableStack();
  const stack = await startStack({ jobs: true, logLevel: 'error', onStatus: report });
  after.defer(() => stack.stop());
  const failures: string[] = [];
  const measure = async (waits: Waits, during: number) => {
    const due = dueTimes('poisson', { rate, durationMs: 1000 * during, random: random.next });
    await openLoop({
      due,
      send: async (dueAt) => {
        const kind: Kind = random.next() < 0.5 ? 'by hash' : 'new image';
        const request = await requestOf(kind, { known, supply, pick: random.pick });
        const { firstTokenAt, failure } = await exchange(stack.url, request, systemClock);
        if (failure !== null) failures.push(`${kind}: ${failure}`);
        if (firstTokenAt !== null) waits[kind].push(firstTokenAt - dueAt);
      },
    });
  };
  report('Warming up …');
  for (const { bytes, scene } of known) {
    const question = scene.questions[0]?.question ?? '';
    await exchange(stack.url, upload(bytes, question), systemClock);
  }
  await measure(emptyWaits(), 5);
  const [idle, busy] = [emptyWaits(), emptyWaits()];
  const jobs = new JobClient(stack.url);
  let [ended, busySeconds] = [0, 0];
  const alone = async (turn: number) => {
    report(`Turn ${turn} of ${turns}: nothing else …`);
    await measure(idle, seconds);
  };
  const beside = async (turn: number) => {
    report(`Turn ${turn} of ${turns}: while a job runs …`);
    const job = await jobs.create('caption', items.lines);
    await jobs.until(job, { timeoutMs: 120_000, isEnough: ({ items: all }) => all.completed > 0 });
    await delay(SETTLE_MS);
    const before = await jobs.state(job);
    const startedAt = performance.now();
    await measure(busy, seconds);
    busySeconds += (performance.now() - startedAt) / 1000;
    const now = await jobs.state(job);
    if (now.status !== 'in_progress') failures.push('The job ended before its turn did.');
    ended += now.items.completed - before.items.completed;
    await jobs.cancel(job);
    await jobs.until(job, { timeoutMs: 120_000 });
    await delay(SETTLE_MS);
  };
  for (let turn = 1; turn <= turns; turn++) {
    // Whatever changes with time alone, such as others on this machine, meets both alike.
    for (const phase of turn % 2 === 1 ? [alone, beside] : [beside, alone]) await phase(turn);
  }
  return { idle, busy, failures, itemsPerSecond: ended / busySeconds };
}

function emptyWaits(): Waits {
  return { 'by hash': [], 'new image': [] };
}

async function requestOf(
  kind: Kind,
  {
    known,
    supply,
    pick,
  }: { known: readonly KnownImage[]; supply: ImageSupply; pick: <T>(of: readonly T[]) => T },
) {
  const { sha256, scene } = pick(known);
  const { question } = pick(scene.questions);
  if (kind === 'new image') return upload(await supply.take(), question);
  return json('/v1/answers', { image: { sha256 }, question, stream: true });
}

/** @param share between 0 and 1 @returns null of no values */
export function quantile(values: readonly number[], share: number): number | null {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? null;
}
