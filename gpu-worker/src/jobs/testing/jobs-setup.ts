/** For tests: a consumer with the real engine behind a gate, between a real server of SQS and a stub of the edge. */
import { withDefaults } from '@blip2/shared/config/option';
import { encodeFrame } from '@blip2/shared/frames';
import { type JobMessage, SUSPECT_ATTRIBUTE } from '@blip2/shared/jobs/message';
import { GenerationConfig } from '@blip2/shared/wire';
import { type FauxqsServer, startFauxqs } from 'fauxqs';
import sharp from 'sharp';
import { vi } from 'vitest';
import { ensureBundle, readGenerativeManifest } from '../../builder/index.ts';
import { EngineClient } from '../../engine/client.ts';
import {
  createGate,
  GATED_THREAD,
  type Gate,
  type GatedOptions,
} from '../../engine/testing/gate.ts';
import { Arrivals } from '../../http/arrivals.ts';
import { BodyMemory } from '../../http/body-memory.ts';
import type { Dependencies } from '../../http/dependencies.ts';
import { DecodePool } from '../../image/decode-pool.ts';
import { createLogger } from '../../logger.ts';
import { createMetrics } from '../../metrics.ts';
import { chooseCheckpoints, MODEL_OPTIONS } from '../../model-options.ts';
import { NO_TRACES } from '../../tracing/traces.ts';
import { type Jobs, startJobs } from '../start-jobs.ts';
import { TIMING } from '../timing.ts';
import { EdgeStub, SECRET } from './edge-stub.ts';

export const JOB = 'ab'.repeat(48);
const FAST = { ...TIMING, commitMs: 20, retryMs: 10, maxRetryMs: 20, placeMs: 10, graceMs: 5000 };

type Messages = NonNullable<ReturnType<FauxqsServer['inspectQueue']>>['messages'];
type QueueKind = 'jobs' | 'dead';

type Line = { event: string } & Record<string, unknown>;

type Parts = {
  gate: Gate;
  lines: Line[];
  sqs: FauxqsServer;
  image: Uint8Array;
  dependencies: Dependencies;
};

export class JobsSetup implements AsyncDisposable {
  readonly gate: Gate;
  /** What was logged. */
  readonly lines: Line[];
  readonly sqs: FauxqsServer;
  readonly image: Uint8Array;
  readonly dependencies: Dependencies;
  edge!: EdgeStub;
  jobs: Jobs | null = null;
  visibilityS = 120;
  #resets = 0;

  private constructor({ gate, lines, sqs, image, dependencies }: Parts) {
    this.gate = gate;
    this.lines = lines;
    this.sqs = sqs;
    this.image = image;
    this.dependencies = dependencies;
  }

  static async start(): Promise<JobsSetup> {
    const gate = createGate();
    const lines: Line[] = [];
    const { checkpoint } = chooseCheckpoints(withDefaults(MODEL_OPTIONS));
    const { bundles } = withDefaults(MODEL_OPTIONS);
    const bundle = await ensureBundle(checkpoint, { bundles });
    const manifest = await readGenerativeManifest(bundle);
    const options: GatedOptions = {
      ...{ bundle, manifest, executionProvider: 'cpu', threads: 1, gate },
      ...{ maxSlots: 2, reserveSlots: 0, prefillChunkTokens: 64, prefixCacheBytes: 0 },
    };
    const engine = await EngineClient.start(options, 6, GATED_THREAD);
    const limits = { maxBytes: 1e6, maxPixels: 1e6 };
    const memory = 2 ** 28;
    const decoder = await DecodePool.start({
      ...{ limits, processes: 1, timeoutMs: 1e4, imageMemory: memory, totalMemory: memory },
    });
    const dependencies: Dependencies = {
      engine,
      decoder,
      arrivals: new Arrivals(1),
      bodyMemory: new BodyMemory(limits.maxBytes),
      metrics: createMetrics(engine, decoder, 'cpu'),
      traces: NO_TRACES,
      models: { generate: manifest },
      limits,
      model: { name: '', revision: '', execution_provider: 'cpu', fingerprint: 'test' },
      state: { draining: false, crashed: new AbortController().signal },
      signatures: null,
      hangSeconds: 60,
      log: createLogger({ level: 'debug', write: (line) => lines.push(JSON.parse(line)) }),
    };
    vi.stubEnv('AWS_ACCESS_KEY_ID', 'test');
    vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'test');
    const sqs = await startFauxqs({ port: 0, logger: false });
    const canvas = { width: 90, height: 60, channels: 3 as const, background: '#cc2020' };
    const image = new Uint8Array(await sharp({ create: canvas }).png().toBuffer());
    return new JobsSetup({ gate, lines, sqs, image, dependencies });
  }

  /** Empty queues and an edge that has seen nothing, before each test. */
  async reset(): Promise<void> {
    this.lines.length = 0;
    this.visibilityS = 120;
    // A receive that the last test's consumer gave up may still be on its way: it is not to take messages of this one.
    for (const name of [this.#name('jobs'), this.#name('dead')]) this.sqs.deleteQueue(name);
    this.#resets++;
    for (const name of [this.#name('jobs'), this.#name('dead')]) {
      this.sqs.createQueue(name, { attributes: { VisibilityTimeout: '0' } });
    }
    this.edge = await EdgeStub.start();
    this.edge.source = () => encodeFrame('image', this.image);
  }

  get config() {
    const endpoint = `http://127.0.0.1:${this.sqs.port}`;
    const url = (queue: QueueKind) => `${endpoint}/000000000000/${this.#name(queue)}`;
    return {
      queueUrl: url('jobs'),
      deadLetterUrl: url('dead'),
      edgeUrl: this.edge.url,
      secret: SECRET,
      endpoint,
      region: 'us-east-1',
      visibilityS: this.visibilityS,
    };
  }

  consume(timing: Partial<typeof TIMING> = {}): void {
    this.jobs = startJobs(this.config, this.dependencies, { ...FAST, ...timing });
  }

  /** Ends the consumer and the edge, after each test. */
  async end(): Promise<void> {
    await this.jobs?.stop(0);
    this.jobs = null;
    await this.edge.stop();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { engine, decoder } = this.dependencies;
    await Promise.all([engine.stop(), decoder.stop(), this.sqs.stop()]);
    vi.unstubAllEnvs();
  }

  message(item: number, change: Partial<JobMessage> = {}): JobMessage {
    const generation = GenerationConfig.parse({ max_tokens: 3 });
    return {
      v: 1,
      job: JOB,
      part: 0,
      item,
      revision: this.dependencies.models.generate.revision,
      task: { kind: 'generate', input_ids: [2], generation },
      source: { edge: true },
      client: 'somebody',
      expires_at: Date.now() + 3_600_000,
      ...change,
    };
  }

  /** @param isSuspect whether the edge says that it is to be run alone */
  send(message: JobMessage | string, queue: QueueKind = 'jobs', isSuspect = false): void {
    const attribute = { DataType: 'String', StringValue: 'true' };
    this.sqs.sendMessage(
      this.#name(queue),
      typeof message === 'string' ? message : JSON.stringify(message),
      isSuspect ? { messageAttributes: { [SUSPECT_ATTRIBUTE]: attribute } } : undefined,
    );
  }

  /** How many messages wait in a queue, and how many somebody has. */
  queued(queue: QueueKind = 'jobs'): { ready: number; held: number } {
    const { ready, inflight } = this.messages(queue);
    return { ready: ready.length, held: inflight.length };
  }

  messages(queue: QueueKind = 'jobs'): Messages {
    const { messages } = this.sqs.inspectQueue(this.#name(queue)) ?? {};
    return messages ?? { ready: [], delayed: [], inflight: [] };
  }

  #name(queue: QueueKind): string {
    return `${queue}-${this.#resets}`;
  }
}
