/** `GET /healthz`: 200 only when the whole chain can answer, else 503 naming what cannot. */
import { ApiError, problemResponse } from '@blip2/shared/errors';
import type { Services } from '../dependencies.ts';
import { model } from '../model-manifest.ts';
import type { AppContext } from './request-context.ts';

export async function health(c: AppContext): Promise<Response> {
  const services = c.get('services');
  const checks = await runChecks(services);
  const down = Object.entries(checks).filter(([, state]) => state !== 'ok');
  if (down.length > 0) {
    const detail = down.map(([name, state]) => `${name}: ${state}`).join('; ');
    return problemResponse(new ApiError('worker-unavailable', detail, { retry_after: 5 }));
  }
  const { name, revision } = model;
  const damaged_entries = services.stores.query.cache.damagedEntries;
  const body = { status: 'ok', checks, model: name, revision, damaged_entries };
  return c.json(body, 200, { 'cache-control': 'no-store' });
}

/** `ok`, or what is wrong, by part. */
async function runChecks({ gpu, kv }: Services): Promise<Record<string, string>> {
  const state = async (check: () => Promise<string>) => {
    try {
      return await check();
    } catch (error) {
      return error instanceof ApiError ? error.message : 'does not answer';
    }
  };
  const [gpuWorker, served, store] = await Promise.all([
    state(async () => ((await gpu.isReady()) ? 'ok' : 'is not ready')),
    state(async () => {
      const { revision, retrieval } = await gpu.model();
      const isSame =
        revision === model.revision && retrieval?.revision === model.retrieval?.revision;
      return isSame ? 'ok' : 'the GPU worker serves another revision';
    }),
    state(async () => {
      await kv.get('healthz');
      return 'ok';
    }),
  ]);
  return { gpu_worker: gpuWorker, model: served, kv: store };
}
