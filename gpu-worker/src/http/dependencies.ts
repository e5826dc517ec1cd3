/** The dependencies of the GPU worker's routes: made once, passed down. */
import type { GenerativeManifest, RetrievalManifest } from '@blip2/shared/bundle-manifest';
import type { SignatureCheck } from '@blip2/shared/request-signature';
import type { WorkerModel } from '@blip2/shared/wire';
import type { Context } from 'hono';
import type { RequestIdVariables } from 'hono/request-id';
import type { EngineClient } from '../engine/client.ts';
import type { ImageLimits } from '../image/decode.ts';
import type { DecodePool } from '../image/decode-pool.ts';
import type { Logger } from '../logger.ts';
import type { Metrics } from '../metrics.ts';
import type { Traces } from '../tracing/traces.ts';
import type { Arrivals } from './arrivals.ts';
import type { BodyMemory } from './body-memory.ts';

/** Manifests of the models that are served. */
export type Models = { generate: GenerativeManifest; retrieve?: RetrievalManifest };

/** What changes while the server runs. */
export type ServerState = {
  draining: boolean;
  /** Aborts when the engine has crashed, with the error as its reason. */
  crashed: AbortSignal;
};

export type Dependencies = {
  engine: EngineClient;
  decoder: DecodePool;
  models: Models;
  limits: ImageLimits;
  /** Connections whose first frame is on its way. */
  arrivals: Arrivals;
  bodyMemory: BodyMemory;
  /** The reply of `GET /v1/model`. */
  model: WorkerModel;
  metrics: Metrics;
  traces: Traces;
  state: ServerState;
  /** Checks who asks; null where everybody may who can reach the worker. */
  signatures: SignatureCheck | null;
  /** Seconds without progress after which the engine counts as hung. */
  hangSeconds: number;
  log: Logger;
};

/** What hono carries with each request. */
export type AppEnv = { Variables: RequestIdVariables };
export type AppContext = Context<AppEnv>;
