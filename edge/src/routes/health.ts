/** `GET /healthz`: 200 only when the whole chain can answer, else 503 naming what cannot. */
import { ApiError, type ProblemSlug, problemResponse } from '@blip2/shared/errors';
import type { Health } from '@blip2/shared/schemas/health';
import type { WorkerModel } from '@blip2/shared/wire';
import type { Dependencies } from '../dependencies.ts';
import { within } from '../within.ts';
import type { Handler } from './app-context.ts';

const RETRY_AFTER_S = 5;

/** Parts of the chain, the one first that others depend on: the first that fails gives the problem its type. */
const PROBLEM_OF = {
  gpu_worker: 'worker-unavailable',
  model: 'model-unavailable',
  kv: 'cache-unavailable',
} as const satisfies Record<string, ProblemSlug>;

type Part = keyof typeof PROBLEM_OF;
/** `ok`, or what is wrong. */
type Checks = Record<Part, string>;

export const health: Handler = async (c, deps) => {
  const { checks, worker } = await recentChecks(deps);
  const failed = (Object.keys(PROBLEM_OF) as Part[]).filter((part) => checks[part] !== 'ok');
  const [first] = failed;
  if (first !== undefined) {
    const detail = failed.map((part) => `${part}: ${checks[part]}`).join('; ');
    return problemResponse(new ApiError(PROBLEM_OF[first], detail, { retry_after: RETRY_AFTER_S }));
  }
  const { name, revision, card } = deps.models.generate;
  const { damagedEntries } = deps.stores.query.cache;
  const body: Health = {
    status: 'ok',
    checks,
    model: name,
    revision,
    ...(card !== undefined && { model_card: card }),
    ...runsOn(worker),
    damaged_entries: damagedEntries,
  };
  return c.json(body, 200, { 'cache-control': 'no-store' });
};

type Checked = { checks: Checks; worker: WorkerModel | undefined };

/** How long what was found holds for whoever asks next: nobody needs a key to ask. */
const FRESH_MS = 1000;
/** How long those that ask wait for one check: the request that made it may have been stopped. */
const PATIENCE_MS = 2500;

/**
 * By isolate: since when a check is under way, what the last that ended has found, and what settles for all who wait when another has ended.
 * Times in milliseconds since the epoch.
 */
type Looks = {
  underWay?: { begunAt: number } | undefined;
  last?: Checked & { endedAt: number };
  ended: PromiseWithResolvers<void>;
};
const looks = new WeakMap<Dependencies, Looks>();

/**
 * What was found within the last second, or by a check that ended since: however slow checks are, one serves all who wait for it, and
 * each of thousands looks when one ends. Those that have waited too long make the next.
 */
async function recentChecks(deps: Dependencies): Promise<Checked> {
  const known = looks.get(deps) ?? { ended: Promise.withResolvers<void>() };
  looks.set(deps, known);
  const cameAt = deps.now();
  for (;;) {
    const { underWay, last } = known;
    if (last !== undefined && last.endedAt > cameAt - FRESH_MS) return last;
    if (underWay === undefined) break;
    const left = underWay.begunAt + PATIENCE_MS - deps.now();
    if (left <= 0) break;
    await atMost(left, known.ended.promise);
  }
  const own = { begunAt: deps.now() };
  known.underWay = own;
  const found = await runChecks(deps);
  known.last = { ...found, endedAt: deps.now() };
  if (known.underWay === own) known.underWay = undefined;
  known.ended.resolve();
  known.ended = Promise.withResolvers();
  return found;
}

/** Resolves with the promise, or after so many milliseconds: that of a request that was stopped never settles. */
async function atMost(ms: number, promise: Promise<void>): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  await Promise.race([promise, late]);
  clearTimeout(timer);
}

async function runChecks({ config, gpu, kv, models }: Dependencies): Promise<Checked> {
  let worker: WorkerModel | undefined;
  const [gpu_worker, model, store] = await Promise.all([
    outcome(async () => ((await gpu.isReady()) ? 'ok' : 'is not ready')),
    outcome(async () => {
      worker = await gpu.model();
      const pairs = [
        [worker, models.generate] as const,
        [worker.retrieval, models.retrieve] as const,
      ];
      return pairs.map(([theirs, own]) => difference(theirs, own)).find(Boolean) ?? 'ok';
    }),
    outcome(async () => {
      await within(config.cacheTimeoutMs, kv.get('healthz'), 'kv get');
      return 'ok';
    }),
  ]);
  return { checks: { gpu_worker, model, kv: store }, worker };
}

type Served = { revision: string; preprocessing?: string | undefined };

/** How what the GPU worker serves differs from what this edge was deployed for. */
function difference(theirs: Served | undefined, own: Served | undefined): string | null {
  if (theirs?.revision !== own?.revision) return 'the GPU worker serves another revision';
  // One of an earlier version does not say.
  if (theirs?.preprocessing === undefined) return null;
  if (theirs.preprocessing === own?.preprocessing) return null;
  return `the GPU worker makes embeddings by ${theirs.preprocessing}, not by ${own?.preprocessing}: BLIP2_PRECISION differs, or the version`;
}

/** What the GPU worker says of how it computes. */
function runsOn(worker: WorkerModel | undefined): Partial<Health> {
  if (worker === undefined) return {};
  const { execution_provider, execution_provider_why, precision } = worker;
  return {
    execution_provider,
    ...(execution_provider_why !== undefined && { execution_provider_why }),
    ...(precision !== undefined && { precision }),
  };
}

async function outcome(check: () => Promise<string>): Promise<string> {
  try {
    return await check();
  } catch (error) {
    return error instanceof ApiError ? error.message : 'does not answer';
  }
}
