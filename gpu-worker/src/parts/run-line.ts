/** From a line of a manifest to its line of results, by the engine of this process. */
import { createHash } from 'node:crypto';
import { embeddingPayload } from '@blip2/shared/embedding-codec';
import { ApiError } from '@blip2/shared/errors';
import { framesOf } from '@blip2/shared/frames';
import { choicesOf, usageOf } from '@blip2/shared/generation/finished-texts';
import { embeddingInstruction } from '@blip2/shared/generation/instruction';
import { preparePrompt } from '@blip2/shared/generation/prepare-prompt';
import type { Prompt } from '@blip2/shared/generation/prompt';
import { TextStreamer } from '@blip2/shared/generation/text-streamer';
import { warningsOf } from '@blip2/shared/generation/warnings';
import { decodeEvent, type GpuEvent } from '@blip2/shared/gpu-events';
import { imageIdOf } from '@blip2/shared/image-id';
import { answerPrompt } from '@blip2/shared/prompts';
import { retrievalIds } from '@blip2/shared/retrieval-ids';
import { AnswerOptions } from '@blip2/shared/schemas/answers';
import { CaptionOptions } from '@blip2/shared/schemas/captions';
import { EmbeddingsOptions } from '@blip2/shared/schemas/embeddings';
import type { JobResultLine } from '@blip2/shared/schemas/jobs/job';
import { MatchOptions } from '@blip2/shared/schemas/match';
import { retrievalModel, revisionFor, type ServedModels } from '@blip2/shared/served-models';
import { validate } from '@blip2/shared/validate';
import type { GpuRequest, GpuTask, ImageInfo } from '@blip2/shared/wire';
import type * as z from 'zod/mini';
import { UNTRACED } from '../engine/request-trace.ts';
import { Deadline } from '../http/deadline.ts';
import type { Dependencies } from '../http/dependencies.ts';
import { embeddingFormat } from '../http/embedding-format.ts';
import { callerOf, handleRequest } from '../http/handle-request.ts';
import { LinkedSignal } from '../http/linked-signal.ts';
import { checkRequest } from '../http/parse-request.ts';
import { untilPlace } from '../jobs/run-item.ts';
import type { PART_TASKS } from './options.ts';
import { type PartLine, readPartLine } from './part-line.ts';
import { type ImageReading, readPartImage } from './read-image.ts';

export type PartTask = (typeof PART_TASKS)[number];

export type LineRunner = {
  dependencies: Pick<Dependencies, 'engine' | 'models' | 'decoder'>;
  served: ServedModels;
  task: PartTask;
  settings: Record<string, unknown>;
  part: number;
  reading: Omit<ImageReading, 'signal'>;
  /** Aborts when the engine has crashed. */
  crashed: AbortSignal;
};

const DEADLINE_MS = 900_000;
const PLACE_MS = 20;
/** Between attempts at what may pass. */
const ATTEMPTS = 3;

/**
 * The results of a line, the same each time that it is run.
 * @param number of the line in the part, from 0
 * @throws what the engine's crash is: only images and lines are to blame for lines that fail
 */
export async function runLine(
  runner: LineRunner,
  text: string,
  number: number,
): Promise<JobResultLine> {
  const cursor = `${runner.part}:${number}`;
  let id = String(number);
  for (let attempt = 1; ; attempt++) {
    try {
      const line = readPartLine(text, number);
      id = line.id;
      const result = await run(runner, line, number);
      return { id, cursor, status: 200, result, error: null };
    } catch (thrown) {
      runner.crashed.throwIfAborted();
      const problem = ApiError.from(thrown);
      if (problem.status >= 500 && attempt < ATTEMPTS) continue;
      if (problem.slug === 'internal-error') throw thrown;
      const error = { code: problem.slug, message: problem.message };
      return { id, cursor, status: problem.status, result: null, error };
    }
  }
}

async function run(
  runner: LineRunner,
  { image, members }: PartLine,
  number: number,
): Promise<Record<string, unknown>> {
  const { dependencies, served, crashed, part } = runner;
  const name = `part-${part}-${number}`;
  const work = workOf(runner, { ...runner.settings, ...members }, name);
  const request: GpuRequest = {
    request_id: name,
    revision: revisionFor(served, work.task),
    deadline_ms: DEADLINE_MS,
    client: 'part',
    priority: 'background',
    ...work.task,
  };
  checkRequest(request, dependencies);
  using deadline = new Deadline();
  deadline.start(DEADLINE_MS);
  using linked = new LinkedSignal(crashed, deadline.signal);
  const { signal } = linked;
  const bytes = await readPartImage(image, { ...runner.reading, signal });
  using _admitted = await untilPlace(
    async () => dependencies.engine.admit(callerOf(request)),
    PLACE_MS,
    signal,
  );
  const received = { request, source: { kind: 'image' as const, bytes } };
  const context = {
    requestId: name,
    trace: UNTRACED,
    arrivedAt: performance.now(),
    signal,
    onSourceRead: () => {},
  };
  const sha256 = await imageIdOf(bytes);
  const events: GpuEvent[] = [];
  for await (const bytesOfFrame of handleRequest(received, dependencies, context)) {
    for (const frame of framesOf(bytesOfFrame)) events.push(decodeEvent(frame));
  }
  const info = events.find((event) => event.type === 'imageInfo')?.image;
  if (info === undefined)
    throw new ApiError('bad-gateway', 'The engine said nothing of the image.');
  return { id: name, ...work.reply(events, { sha256, ...info }) };
}

type Work = {
  task: GpuTask;
  /** The reply of the task's own route, without its id. */
  reply: (events: readonly GpuEvent[], image: ImageInfo & { sha256: string }) => object;
};

/** @throws ApiError where the members are wrong */
function workOf(
  { served, task, dependencies }: LineRunner,
  members: Record<string, unknown>,
  name: string,
): Work {
  const deps = { models: served, randomSeed: () => seedOf(name) };
  switch (task) {
    case 'caption': {
      const { prompt = '', stream, ...options } = validate(CaptionOptions, members);
      expectNoStream(stream);
      return generating(
        served,
        'caption',
        preparePrompt(deps, { text: prompt, field: 'prompt' }, options),
      );
    }
    case 'answer': {
      const { question, history, stream, ...options } = validate(AnswerOptions, members);
      expectNoStream(stream);
      const text = answerPrompt(served.generate.family, question, history);
      const prompt = preparePrompt(deps, { text, field: 'question' }, options);
      return generating(served, 'answer', prompt);
    }
    case 'embeddings':
      return embedding(served, dependencies.models, validate(EmbeddingsOptions, members));
    case 'match': {
      const { texts } = validate(MatchOptions, members);
      const model = retrievalModel(served);
      return {
        task: { kind: 'match', texts: retrievalIds(model, texts, 'texts') },
        reply: (events, image) => {
          const scores = events.find((event) => event.type === 'scores')?.scores ?? [];
          return {
            scores: scores.map((score, i) => ({ text: texts[i] ?? '', ...score })),
            image,
            model: model.name,
          };
        },
      };
    }
  }
}

/** The values as the model stores them, in base64: as numbers they would be four times as long. */
function embedding(
  served: ServedModels,
  models: LineRunner['dependencies']['models'],
  options: z.infer<typeof EmbeddingsOptions>,
): Work {
  const { kind, text } = options;
  if (text !== undefined) {
    const detail = 'text: a line is about an image: leave it out.';
    throw new ApiError('unsupported-parameter', detail, { field: 'text' });
  }
  const model = kind === 'itc' ? retrievalModel(served) : served.generate;
  const instruction_ids = embeddingInstruction(served.generate, options);
  const task: GpuTask = {
    kind: 'embed',
    embedding: kind,
    ...(instruction_ids && { instruction_ids }),
  };
  return {
    task,
    reply: (events, image) => {
      const encoded = events.find((event) => event.type === 'embeddings')?.embeddings;
      if (encoded === undefined) {
        throw new ApiError('bad-gateway', 'The engine sent no embeddings.');
      }
      const { shape } = embeddingFormat(task, models);
      const { type: dtype, payload } = embeddingPayload(encoded, shape);
      const embeddings = Buffer.from(payload).toString('base64');
      const { numQueries, hidden } = shape;
      return { embeddings, dtype, shape: [numQueries, hidden], kind, image, model: model.name };
    },
  };
}

function generating(served: ServedModels, member: 'caption' | 'answer', prompt: Prompt): Work {
  const { inputIds, instructionIds, generation, stopSequences } = prompt;
  const model = served.generate;
  return {
    task: {
      kind: 'generate',
      input_ids: inputIds,
      ...(instructionIds && { instruction_ids: instructionIds }),
      generation,
    },
    reply: (events, image) => {
      const texts = Array.from({ length: generation.n }, () => {
        return new TextStreamer(model.tokenizer(), stopSequences);
      });
      for (const event of events) {
        if (event.type !== 'tokens') continue;
        for (const token of event.tokens) texts[event.choice]?.put(token);
      }
      for (const streamer of texts) streamer.end();
      const done = events.find((event) => event.type === 'done');
      const { text, ...rest } = choicesOf(texts, done);
      const usage = usageOf(model.num_query_tokens + inputIds.length, texts);
      const { name } = model;
      return { [member]: text, ...rest, image, model: name, usage, ...warningsOf(image, model) };
    },
  };
}

function expectNoStream(stream: boolean | undefined): void {
  if (!stream) return;
  const detail = 'stream: results are lines of a file: leave it out.';
  throw new ApiError('unsupported-parameter', detail, { field: 'stream' });
}

/** A line that is run again draws the same. */
function seedOf(name: string): number {
  return createHash('sha256').update(name).digest().readUInt32BE();
}
