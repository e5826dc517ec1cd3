/** The Worker: bindings, platform and bundled models → dependencies → app, once per isolate; and its Durable Objects. */
import type { Hono } from 'hono';
import { createApp } from './app.ts';
import { bundledModels } from './bundled-models.ts';
import { createDependencies, type Dependencies } from './dependencies.ts';
import { JobBase } from './jobs/job.ts';
import { JobPartBase } from './jobs/job-part.ts';
import { sharedApp } from './jobs/shared-app.ts';
import { WebhookOutbox } from './jobs/webhooks/webhook-outbox.ts';
import type { Env, Platform } from './platform.ts';
import { PredictionObject } from './predictions/prediction-object.ts';
import type { AppEnv } from './routes/app-context.ts';

export { CallerLimits } from './limits/caller-limits.ts';

const platform = (): Platform => ({
  fetch: (url, init) => fetch(url, init),
  coloCache: caches.default,
  now: () => Date.now(),
  randomSeed: () => crypto.getRandomValues(new Uint32Array(1))[0] ?? 0,
});

export { IdempotentReplies } from './idempotency/idempotent-replies.ts';
export { JobIndex } from './jobs/job-index.ts';

let app: Hono<AppEnv> | undefined;

export default {
  fetch(request, env, context) {
    app ??= createApp(createDependencies(env, bundledModels, platform()));
    return app.fetch(request, env, context);
  },
} satisfies ExportedHandler<Env>;

export class Job extends JobBase {
  protected override dependencies() {
    return createDependencies(this.env, bundledModels, platform());
  }

  protected override outbox({ sql }: DurableObjectStorage, { config, fetch, now }: Dependencies) {
    const { allowPrivateImageUrls: allowPrivate, imageUserAgent: userAgent } = config;
    return new WebhookOutbox(sql, { allowPrivate, fetch, now, userAgent });
  }
}

const itemApp = sharedApp(createApp);

export class JobPart extends JobPartBase {
  protected override dependencies() {
    return createDependencies(this.env, bundledModels, platform());
  }

  protected override createApp(deps: Dependencies) {
    return itemApp(deps);
  }
}

export class Predictions extends PredictionObject {
  protected override dependencies() {
    return createDependencies(this.env, bundledModels, platform());
  }
}
