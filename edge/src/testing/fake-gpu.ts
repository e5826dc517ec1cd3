/** A GPU worker for tests: it speaks the frame protocol, but its replies are scripted. */
import { encodeEmbeddings } from '@blip2/shared/embedding-codec';
import { ApiError, type Problem, problemResponse } from '@blip2/shared/errors';
import { decodeJson, FRAMES_MEDIA_TYPE, readFrames } from '@blip2/shared/frames';
import { encodeEvent, type GpuEvent } from '@blip2/shared/gpu-events';
import { FINGERPRINT_HEADER, type GpuDone, GpuRequest } from '@blip2/shared/wire';
import { generative as model, retrieval } from './models.ts';

type Source = 'image' | 'embeddings' | 'nothing';

export type ReceivedRequest = {
  request: GpuRequest;
  with: Source;
  payload: Uint8Array;
};

export type Script = {
  text: string;
  /** Texts of the choices after the first. */
  others: string[];
  /** Waited for before the first frame. Rejects with the problem that is that frame, or to break the connection. */
  start: Promise<unknown>;
  /** Waited for before each token. */
  token: () => Promise<unknown>;
  /** A status before the first frame. */
  refuse: ApiError | null;
  /** An `error` frame after the embeddings. */
  failLate: Problem | null;
  /** The connection breaks after the first token. */
  breakOff: boolean;
  /** `done` reports no choices. */
  forgetChoices: boolean;
  /** Images are unlike all that the model was trained on. */
  isOutside: boolean;
  /** Bytes instead of frames. */
  raw: Uint8Array | null;
  isReady: boolean;
  revision: string;
  preprocessing: string;
  /** Fingerprint of the worker; null where it says none. */
  fingerprint: string | null;
  /** What it says of its load, in Prometheus' form. */
  metrics: string;
  /** No connection at all. */
  isGone: boolean;
};

export const EMBEDDINGS = encodeEmbeddings(
  {
    numQueries: model.num_query_tokens,
    hidden: model.qformer_hidden,
    values: Float32Array.from(
      { length: model.num_query_tokens * model.qformer_hidden },
      (_, index) => (index % 100) / 8 - 4,
    ),
  },
  'float32',
);

export const ITC_EMBEDDINGS = encodeEmbeddings(
  {
    numQueries: retrieval.num_query_tokens,
    hidden: retrieval.itc_hidden,
    values: Float32Array.from(
      { length: retrieval.num_query_tokens * retrieval.itc_hidden },
      (_, index) => (index % 7) / 8,
    ),
  },
  'float16',
);

export class FakeGpu {
  readonly received: ReceivedRequest[] = [];
  /** Called at each request and at each cancellation. */
  readonly #listeners = new Set<() => void>();
  /** Requests whose reply the edge canceled. */
  canceled = 0;
  script: Script = {
    text: ' a red dog\n',
    others: [],
    start: Promise.resolve(),
    token: () => Promise.resolve(),
    refuse: null,
    failLate: null,
    breakOff: false,
    forgetChoices: false,
    isOutside: false,
    raw: null,
    isReady: true,
    revision: model.revision,
    preprocessing: model.preprocessing,
    fingerprint: 'fake',
    metrics: '',
    isGone: false,
  };
  /** Replies of other hosts, by URL. */
  readonly web = new Map<string, () => Response | Promise<Response>>();

  /** Paths of the images that it was asked to drop. */
  readonly dropped: string[] = [];

  /** Waits until so many requests have come. */
  async untilReceived(count: number): Promise<void> {
    await this.#until(() => this.received.length >= count);
  }

  /** Waits until the edge has canceled so many replies. */
  async untilCanceled(count: number): Promise<void> {
    await this.#until(() => this.canceled >= count);
  }

  #until(isReached: () => boolean): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const listener = () => {
      if (!isReached()) return;
      this.#listeners.delete(listener);
      resolve();
    };
    this.#listeners.add(listener);
    listener();
    return promise;
  }

  #notify(): void {
    for (const listener of [...this.#listeners]) listener();
  }

  /** Replaces the platform's `fetch`. */
  readonly fetch = async (url: string | URL, init?: RequestInit): Promise<Response> => {
    const request = new Request(url, init);
    const { origin, pathname } = new URL(request.url);
    if (origin !== 'http://gpu.test') {
      const reply = this.web.get(request.url);
      if (!reply) throw new TypeError(`no host at ${request.url}`);
      return reply();
    }
    if (this.script.isGone) throw new TypeError('connection refused');
    if (pathname === '/readyz')
      return new Response(null, { status: this.script.isReady ? 200 : 503 });
    if (pathname === '/metrics') return new Response(this.script.metrics);
    if (pathname === '/v1/model') {
      const { revision, preprocessing, fingerprint } = this.script;
      const how = {
        precision: 'int8',
        preprocessing,
        execution_provider: 'fake',
        execution_provider_why: 'a test',
      };
      const named = fingerprint === null ? {} : { fingerprint };
      const served = { name: model.name, revision, ...how, ...named, retrieval };
      return Response.json(served);
    }
    if (request.method === 'DELETE') {
      this.dropped.push(request.url.slice(origin.length));
      return new Response(null, { status: 204 });
    }
    return this.#run(request);
  };

  async #run(incoming: Request): Promise<Response> {
    const frames = await Array.fromAsync(readFrames(incoming.body as ReadableStream<Uint8Array>));
    const [first, second, ...more] = frames;
    if (first?.type !== 'request' || more.length > 0) throw new Error('not a request of frames');
    const request = GpuRequest.parse(decodeJson(first.payload));
    const source = second?.type;
    if (source !== 'image' && source !== 'embeddings' && source !== undefined) {
      throw new Error('no source');
    }
    const payload = second?.payload.slice() ?? new Uint8Array();
    this.received.push({ request, with: source ?? 'nothing', payload });
    this.#notify();
    const script = { ...this.script };
    if (script.refuse) return problemResponse(script.refuse);
    if (script.raw) return new Response(script.raw);
    const events = this.#events(request, source ?? 'nothing', script);
    return new Response(this.#body(events, incoming.signal), {
      headers: {
        'content-type': FRAMES_MEDIA_TYPE,
        ...(script.fingerprint !== null && { [FINGERPRINT_HEADER]: script.fingerprint }),
      },
    });
  }

  /** The events as bytes, one by one as they are read; broken by the signal as a real connection is. */
  #body(events: AsyncGenerator<GpuEvent>, signal: AbortSignal): ReadableStream<Uint8Array> {
    let isCanceled = false;
    const cancel = () => {
      if (isCanceled) return;
      isCanceled = true;
      this.canceled++;
      this.#notify();
    };
    return new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          signal.addEventListener('abort', () => {
            cancel();
            controller.error(signal.reason);
          });
        },
        pull: async (controller) => {
          try {
            const { done, value } = await events.next();
            if (isCanceled) return;
            if (!done) controller.enqueue(encodeEvent(value));
            if (done || value.type === 'done') controller.close();
          } catch (error) {
            controller.error(error);
          }
        },
        cancel,
      },
      { highWaterMark: 0 },
    );
  }

  async *#events(
    request: GpuRequest,
    source: Source,
    script: Script,
  ): AsyncGenerator<GpuEvent, void, undefined> {
    try {
      await script.start;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      yield { type: 'error', problem: error.toProblem() };
      return;
    }
    if (source === 'image') {
      const outside = script.isOutside ? ({ outside_training: true } as const) : {};
      yield { type: 'imageInfo', image: { width: 40, height: 30, format: 'png', ...outside } };
      if (request.kind !== 'match') {
        const isItc = request.kind === 'embed' && request.embedding === 'itc';
        yield { type: 'embeddings', embeddings: isItc ? ITC_EMBEDDINGS : EMBEDDINGS };
      }
    }
    if (script.failLate) {
      yield { type: 'error', problem: script.failLate };
      return;
    }
    if (request.kind === 'match') {
      const scores = request.texts.map(({ length }) => ({ itm: 1 / length, itc: length / 100 }));
      yield { type: 'scores', scores };
    }
    if (request.kind === 'embed-texts') {
      yield { type: 'texts', embeddings: request.texts.map(({ length }) => [length, 0]) };
    }
    const choices: GpuDone['choices'] = [];
    if (request.kind === 'generate') {
      const { max_tokens, n, logprobs, top_logprobs } = request.generation;
      for (const [choice, text] of [script.text, ...script.others].slice(0, n).entries()) {
        const ids = model.tokenizer().encode(text);
        const generated = ids.slice(0, max_tokens);
        for (const id of generated) {
          await script.token();
          const top = [id, 9].map((other, i) => ({ id: other, logprob: -0.5 - i }));
          const scored = { logprob: -0.5, top: top.slice(0, top_logprobs) };
          yield { type: 'tokens', choice, tokens: [logprobs ? { id, scored } : { id }] };
          if (script.breakOff) throw new Error('connection reset');
        }
        const finish_reason = generated.length < ids.length ? 'length' : 'stop';
        choices.push({ finish_reason, completion_tokens: generated.length, score: -choice });
      }
    }
    const timings_ms = { queue: 0.5, ...(source === 'image' ? { vision: 3 } : {}), prefill: 1 };
    yield { type: 'done', choices: script.forgetChoices ? [] : choices, timings_ms };
  }
}
