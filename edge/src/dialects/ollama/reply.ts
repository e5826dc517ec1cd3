/** A reply in Ollama's form, whole or as lines of JSON, with what it took. */
import { ApiError } from '@blip2/shared/errors';
import type { OllamaError } from '@blip2/shared/schemas/ollama/error';
import type { OllamaReply } from '@blip2/shared/schemas/ollama/text';
import type { Dependencies } from '../../dependencies.ts';
import { wholeOf } from '../../generation/begin-generation.ts';
import type { StreamKind } from '../../http/sse.ts';
import { type AppContext, requestContextOf } from '../../routes/app-context.ts';
import { holdWritten, writtenJson } from '../../routes/large-reply.ts';
import { toOpenAiLogprobs } from '../logprobs.ts';
import { type StreamForm, streamReply } from '../stream-reply.ts';
import { prepareReply, type ReplyDelta, type ReplyRequest, type Written } from '../write-reply.ts';
import { withinOptions } from './options.ts';

/** White space before a value is no part of it, while an empty line is no value: of the one all readers make nothing. */
const LINES: StreamKind = { mediaType: 'application/x-ndjson', heartbeat: ' ' };

/** What is asked for, and how its reply is written. */
export type OllamaRequest = ReplyRequest & {
  /** The model, as the request names it. */
  model: string;
  /** As lines, where nothing is said. */
  stream: boolean | undefined;
  /** Where a text stands in a reply. */
  place: (text: string) => object;
};

const NANOSECONDS = 1_000_000;

/** @throws ApiError */
export async function writeOllamaReply(
  c: AppContext,
  deps: Dependencies,
  { model, stream = true, place, ...request }: OllamaRequest,
): Promise<Response> {
  const canceled = new AbortController();
  const context = requestContextOf(c, deps, canceled.signal);
  const prepared = prepareWithin(deps, request);
  const times: Times = { startedAt: c.get('startedAt') };
  if (stream) context.account?.stream();
  const deltas = timed(await prepared.begin(context), times, deps.now);
  const lines = new ReplyLines(deps, model, place, times);
  if (stream) {
    const reading = holdWritten(c, deps, prepared.generation);
    return await streamReply(deltas, lines, () => canceled.abort(), { reading });
  }
  const whole = await wholeOf(deltas);
  const value = lines.end(whole, whole.text, 0);
  const written = { generation: prepared.generation, usage: whole.usage };
  return await writtenJson(c, deps, value, written, { 'cache-control': 'no-store' });
}

/** The reply to a request that only has a model loaded, which it is. */
export function loadedReply(
  c: AppContext,
  { now }: Pick<Dependencies, 'now'>,
  { model, place }: Pick<OllamaRequest, 'model' | 'place'>,
): Response {
  const created_at = new Date(now()).toISOString();
  const reply: OllamaReply = { model, created_at, done: true, done_reason: 'load' };
  return c.json({ ...reply, ...place('') }, 200, { 'cache-control': 'no-store' });
}

function prepareWithin(deps: Dependencies, request: ReplyRequest) {
  try {
    return prepareReply(deps, request);
  } catch (thrown) {
    throw withinOptions(thrown);
  }
}

/** Milliseconds since the epoch. */
type Times = { startedAt: number; firstAt?: number };

async function* timed(
  deltas: AsyncGenerator<ReplyDelta, void, undefined>,
  times: Times,
  now: () => number,
): AsyncGenerator<ReplyDelta, void, undefined> {
  for await (const delta of deltas) {
    if (delta.type === 'delta') times.firstAt ??= now();
    yield delta;
  }
}

/** A line for each delta, and one with what it took. */
class ReplyLines implements StreamForm {
  readonly kind = LINES;
  readonly #deps: Pick<Dependencies, 'models' | 'now'>;
  readonly #model: string;
  readonly #place: OllamaRequest['place'];
  readonly #times: Times;
  #sentLogprobs = 0;

  constructor(
    deps: Pick<Dependencies, 'models' | 'now'>,
    model: string,
    place: OllamaRequest['place'],
    times: Times,
  ) {
    this.#deps = deps;
    this.#model = model;
    this.#place = place;
    this.#times = times;
  }

  begin(): string {
    return '';
  }

  write(delta: ReplyDelta): string {
    if (delta.type === 'image') return '';
    if (delta.type === 'done') return line(this.end(delta.generation, '', this.#sentLogprobs));
    const { text, logprobs = [] } = delta;
    this.#sentLogprobs += logprobs.length;
    return line({ ...this.#head(false), ...this.#place(text), ...this.#scored(logprobs) });
  }

  fail(thrown: unknown): string {
    return line({ error: ApiError.from(thrown).message } satisfies OllamaError);
  }

  /** @param sentLogprobs how many tokens earlier lines had: some have no text */
  end(
    { finish_reason, usage, logprobs = [] }: Written,
    text: string,
    sentLogprobs: number,
  ): OllamaReply {
    const { startedAt, firstAt } = this.#times;
    const endedAt = this.#deps.now();
    const writingAt = firstAt ?? endedAt;
    return {
      ...this.#head(true),
      ...this.#place(text),
      ...this.#scored(logprobs.slice(sentLogprobs)),
      done_reason: finish_reason,
      total_duration: (endedAt - startedAt) * NANOSECONDS,
      load_duration: 0,
      prompt_eval_count: usage.prompt_tokens,
      prompt_eval_duration: (writingAt - startedAt) * NANOSECONDS,
      eval_count: usage.completion_tokens,
      eval_duration: (endedAt - writingAt) * NANOSECONDS,
    };
  }

  #head(done: boolean): Pick<OllamaReply, 'model' | 'created_at' | 'done'> {
    const created_at = new Date(this.#deps.now()).toISOString();
    return { model: this.#model, created_at, done };
  }

  #scored(logprobs: NonNullable<Written['logprobs']>): Pick<OllamaReply, 'logprobs'> {
    if (logprobs.length === 0) return {};
    return { logprobs: toOpenAiLogprobs(this.#deps.models.generate, logprobs) };
  }
}

const line = (value: object) => `${JSON.stringify(value)}\n`;
