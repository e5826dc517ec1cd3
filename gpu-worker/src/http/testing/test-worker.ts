/** For tests: a GPU worker on the embedded checkpoint, and the requests that an edge would send it. */
import { EventEmitter, once } from 'node:events';
import { withDefaults } from '@blip2/shared/config/option';
import {
  decodeJson,
  decodeTokens,
  encodeFrame,
  encodeJsonFrame,
  type Frame,
  readFrames,
} from '@blip2/shared/frames';
import {
  GenerationConfig,
  type GpuDone,
  type GpuRequest,
  type WorkerModel,
} from '@blip2/shared/wire';
import sharp from 'sharp';
import { type Config, WORKER_OPTIONS } from '../../config.ts';
import { createLogger } from '../../logger.ts';
import { type GpuWorker, startWorker } from '../../start-worker.ts';

export type Generate = Extract<GpuRequest, { kind: 'generate' }>;
export type Bytes = Uint8Array<ArrayBuffer>;

/** Never ends before `max_tokens`: a strong penalty prevents a small model from repeating its end token. */
export const endless = (max_tokens: number) =>
  GenerationConfig.parse({ max_tokens, repetition_penalty: 3 });

export const framesOf = (response: Response): Promise<Frame[]> =>
  Array.fromAsync(readFrames(response.body as ReadableStream<Uint8Array>));

type LogLine = Record<string, unknown>;
/** `line` is emitted after each. */
type TestLog = { lines: LogLine[]; events: EventEmitter };

export class TestWorker {
  readonly worker: GpuWorker;
  readonly revision: string;
  readonly #images: readonly Bytes[];
  readonly #log: TestLog;

  private constructor(worker: GpuWorker, revision: string, images: Bytes[], log: TestLog) {
    this.worker = worker;
    this.revision = revision;
    this.#images = images;
    this.#log = log;
  }

  /** Lines of its log, every level. */
  get logged(): readonly LogLine[] {
    return this.#log.lines;
  }

  /** The lines of a request, once its last one is logged. */
  async linesOf(requestId: string): Promise<LogLine[]> {
    const { lines, events } = this.#log;
    const own = () => lines.filter(({ request_id }) => request_id === requestId);
    while (!own().some(({ event }) => event === 'request')) await once(events, 'line');
    return own();
  }

  static async start(options: Partial<Config> = {}): Promise<TestWorker> {
    const log: TestLog = { lines: [], events: new EventEmitter() };
    const write = (line: string) => {
      log.lines.push(JSON.parse(line));
      log.events.emit('line');
    };
    const worker = await startWorker(
      withDefaults(WORKER_OPTIONS, { port: 0, ...options }),
      createLogger({ level: 'debug', write }),
    );
    const model = (await (await fetch(`${worker.url}/v1/model`)).json()) as WorkerModel;
    return new TestWorker(worker, model.revision, await testImages(), log);
  }

  /** The frame of an image, for a worker in another process. */
  static async imageFrame(): Promise<Bytes> {
    const [image] = await testImages();
    return encodeFrame('image', image as Bytes);
  }

  /** A request for a few greedy tokens. */
  generate(change: Partial<Generate> = {}): Generate {
    return {
      kind: 'generate',
      request_id: 'test',
      revision: this.revision,
      deadline_ms: 20_000,
      input_ids: [2],
      generation: GenerationConfig.parse({ max_tokens: 12 }),
      ...change,
    };
  }

  embed(): GpuRequest {
    const { revision } = this;
    const head = { request_id: 'test', revision, deadline_ms: 9000 };
    return { kind: 'embed', embedding: 'query', ...head };
  }

  /** The frame of one of four images. */
  image(index: number): Bytes {
    return encodeFrame('image', this.#images[index] as Bytes);
  }

  post(body: RequestInit['body'], init: RequestInit = {}): Promise<Response> {
    return fetch(`${this.worker.url}/v1/run`, { method: 'POST', body: body ?? null, ...init });
  }

  send(request: unknown, source: Bytes, init: RequestInit = {}): Promise<Response> {
    return this.post(new Blob([encodeJsonFrame('request', request), source]), init);
  }

  /** Sends a request and reads its reply to the end. */
  async ask(request: Generate, source: Bytes) {
    const response = await this.send(request, source);
    if (response.status !== 200) throw new Error(await response.text());
    const frames = await framesOf(response);
    const tokens = frames.filter(({ type }) => type === 'tokens');
    return {
      types: frames.map(({ type }) => type),
      tokens: tokens.flatMap(({ payload }) => decodeTokens(payload).tokens.map(({ id }) => id)),
      embeddings: frames.find(({ type }) => type === 'embeddings')?.payload,
      last: decodeJson((frames.at(-1) as Frame).payload) as GpuDone,
    };
  }
}

async function testImages(): Promise<Bytes[]> {
  const white = { width: 40, height: 40, channels: 3 as const, background: '#ffffff' };
  return await Promise.all(
    ['#cc2020', '#2040cc', '#20a040', '#e0c020'].map(async (background) => {
      const canvas = sharp({ create: { width: 120, height: 90, channels: 3, background } });
      const image = canvas.composite([{ input: { create: white }, left: 20, top: 30 }]).png();
      return new Uint8Array(await image.toBuffer());
    }),
  );
}
