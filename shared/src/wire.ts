/** JSON payloads of the frames between edge and GPU worker: the contract both sides compile against. */
import * as z from 'zod/mini';

/** Most texts of one request to the retrieval model. */
export const MAX_TEXTS = 64;
/** Texts that the retrieval model runs together, each as long as the longest of them: running streams wait for it. */
export const TEXTS_AT_ONCE = 4;

/** Largest `n` and `num_beams`. */
const MAX_SEQUENCES = 8;

/** Beyond the context of every model that can be served. That of the model is narrower: `prompt-too-long` names it. */
const MAX_TOKENS = 32_768;

/** No vocabulary is larger: with more, `top_k` would be no limit. */
const MAX_VOCABULARY = 1_000_000;

/** Nobody waits for longer than an hour. */
const MAX_DEADLINE_MS = 3_600_000;

/** Of what names a request or a model, characters. */
const MAX_ID_LENGTH = 256;

/** A whole number from `least` to `most`; every error says so. */
function whole(least: number, most: number) {
  const error = `must be a whole number from ${least} to ${most}`;
  return z.int({ error }).check(z.minimum(least, { error }), z.maximum(most, { error }));
}

/** A number from `least` to `most`; every error says so. */
function number(least: number, most: number) {
  const error = `must be a number from ${least} to ${most}`;
  return z.number({ error }).check(z.minimum(least, { error }), z.maximum(most, { error }));
}

const PROBABILITY = 'must be a number above 0 and up to 1';

/**
 * Every parameter of a generation, once: its range, and its default where it has one. Names and meanings are those
 * of transformers. Greedy decoding is the default. A range ends where a larger number would mean nothing else.
 */
const generationParameters = {
  max_tokens: whole(1, MAX_TOKENS),
  /** Tokens before which no end token is generated. */
  min_tokens: z._default(whole(0, MAX_TOKENS), 0),
  /** 0 is greedy. */
  temperature: z._default(number(0, 5), 0),
  top_p: z._default(
    z
      .number({ error: PROBABILITY })
      .check(z.gt(0, { error: PROBABILITY }), z.maximum(1, { error: PROBABILITY })),
    1,
  ),
  /** 0 leaves the whole vocabulary. */
  top_k: z._default(whole(0, MAX_VOCABULARY), 0),
  /** At either end of the range, tokens that are present already are as good as forbidden, or certain. */
  repetition_penalty: z._default(number(0.01, 100), 1),
  /** Subtracted from a token's logit for each time that the generated text has it: above 0 makes it less likely. */
  frequency_penalty: z._default(number(-2, 2), 0),
  /** Subtracted once from the logit of each token that the generated text has. */
  presence_penalty: z._default(number(-2, 2), 0),
  /** No run of this many tokens is generated twice; 0 is no such rule. Where it leaves no token at all, it yields. */
  no_repeat_ngram_size: z._default(whole(0, 100), 0),
  /** Seed of the sampler's generator; the same seed and request give the same tokens. */
  seed: z._default(whole(0, 0xffff_ffff), 0),
  /** Texts to generate. */
  n: z._default(whole(1, MAX_SEQUENCES), 1),
  /** Beams of a beam search; 1 is none. */
  num_beams: z._default(whole(1, MAX_SEQUENCES), 1),
  /** Exponent of the length by which a beam's score is divided. */
  length_penalty: z._default(number(-10, 10), 1),
  early_stopping: z._default(
    z.union([z.boolean(), z.literal('never')], { error: 'must be true, false or never' }),
    false,
  ),
  /** Whether each token comes with its log-probability, as the model gave it: before penalties and temperature. */
  logprobs: z._default(z.boolean(), false),
  /** How many of the likeliest tokens are reported with each generated one. */
  top_logprobs: z._default(whole(0, 20), 0),
};

type WithoutDefault<Schema extends z.core.SomeType> =
  Schema extends z.ZodMiniDefault<infer Inner> ? Inner : Schema;

type Options<Parameters extends Record<string, z.core.SomeType>> = {
  [Name in keyof Parameters]: z.ZodMiniOptional<WithoutDefault<Parameters[Name]>>;
};

/** The same parameters as a client may send them: each may be left out, and stays out. */
export const generationParameterOptions = Object.fromEntries(
  Object.entries(generationParameters).map(([name, schema]) => [
    name,
    z.optional(schema instanceof z.ZodMiniDefault ? schema._zod.def.innerType : schema),
  ]),
) as Options<typeof generationParameters>;

/** How one generation is decoded. */
export const GenerationConfig = z.strictObject(generationParameters).check(({ value, issues }) => {
  const conflict = (field: keyof typeof value, message: string) =>
    issues.push({ code: 'custom', input: value, path: [field], message });
  const { n, num_beams, temperature, min_tokens, max_tokens } = value;
  if (min_tokens > max_tokens) {
    conflict('min_tokens', `must be at most max_tokens, which is ${max_tokens}`);
  }
  if (num_beams > 1 && temperature > 0) {
    conflict('num_beams', 'a beam search does not sample: leave temperature at 0');
  }
  if (num_beams > 1 && n > num_beams) {
    conflict('n', `a search with ${num_beams} beams gives at most ${num_beams} texts`);
  }
  if (num_beams === 1 && n > 1 && temperature === 0) {
    conflict('n', 'several greedy texts would be one and the same: set temperature or num_beams');
  }
  if (value.top_logprobs > 0 && !value.logprobs) {
    conflict('top_logprobs', 'needs logprobs: true');
  }
});
export type GenerationConfig = z.infer<typeof GenerationConfig>;

/** Token ids of a text. */
const ids = z
  .array(whole(0, MAX_VOCABULARY))
  .check(z.minLength(1), z.maxLength(MAX_TOKENS, `must be at most ${MAX_TOKENS} ids`));

/** An opaque name of a cache namespace. */
export const CacheNamespace = z
  .string()
  .check(z.regex(/^[0-9a-f]{32}$/, 'must be 32 lower-case hexadecimal digits'));

/** An image id. */
const imageId = z.string().check(z.regex(/^[0-9a-f]{64}$/, 'must be a SHA-256'));

/** All whose address nobody trusted reports, as when served locally, are one client with one client's part. */
export const UNNAMED_CLIENT = 'unnamed';

const requestHead = {
  request_id: z.string().check(z.maxLength(MAX_ID_LENGTH)),
  /** Revision of the bundle the edge tokenized for; another one at the worker is `model-mismatch`. */
  revision: z.string().check(z.maxLength(MAX_ID_LENGTH)),
  /** Of the edge's bundle: what makes embeddings of an image beside the weights. With another at the worker they are not those that caches say. */
  preprocessing: z.optional(z.string().check(z.maxLength(MAX_ID_LENGTH))),
  /** Milliseconds after which the worker gives up, counted from the arrival of the request. */
  deadline_ms: whole(1, MAX_DEADLINE_MS),
  /** Names the client: waiting requests are served client by client. */
  client: z.optional(z.string().check(z.maxLength(256))),
  /** The caller's cache namespace; without one, the shared one. Nothing that is cached for a request is used in another's. */
  namespace: z.optional(CacheNamespace),
  /** `background` waits for everything else; without it a request is `interactive`. */
  priority: z.optional(z.enum(['interactive', 'background'])),
};

/** Ids of texts for the retrieval model, [CLS] and [SEP] included. */
const retrievalTexts = z
  .array(z.array(z.int().check(z.nonnegative())).check(z.minLength(1)))
  .check(z.minLength(1), z.maxLength(MAX_TEXTS));

/** Ids of the instruction for a Q-Former that reads it, [CLS] and [SEP] included; other Q-Formers get none. */
const instruction_ids = z.optional(ids);

/** Which embeddings of an image: the query embeddings that text is generated from, or those of ITC. */
export const EmbeddingKind = z.enum(['query', 'itc']);
export type EmbeddingKind = z.infer<typeof EmbeddingKind>;

const tasks = {
  embed: { kind: z.literal('embed'), embedding: EmbeddingKind, instruction_ids },
  embedTexts: { kind: z.literal('embed-texts'), texts: retrievalTexts },
  match: { kind: z.literal('match'), texts: retrievalTexts },
  generate: {
    kind: z.literal('generate'),
    /** Text token ids, without the image positions: BOS first for OPT. */
    input_ids: ids,
    instruction_ids,
    /** Whose the embeddings are, where they are sent: what is cached of them is dropped with the image. */
    image_id: z.optional(imageId),
    generation: GenerationConfig,
  },
};

/** A task; `GpuRequest` adds client, deadline and revision. */
export const GpuTask = z.discriminatedUnion('kind', [
  z.strictObject(tasks.embed),
  z.strictObject(tasks.embedTexts),
  z.strictObject(tasks.match),
  z.strictObject(tasks.generate),
]);
export type GpuTask = z.infer<typeof GpuTask>;

/**
 * What the edge asks for. `generate` is followed by an `image` or an `embeddings` frame, `embed` and `match` by an
 * `image` frame, `embed-texts` by none. `revision` is that of the model that serves it (`route.ts`).
 */
export const GpuRequest = z.discriminatedUnion('kind', [
  z.strictObject({ ...requestHead, ...tasks.embed }),
  z.strictObject({ ...requestHead, ...tasks.embedTexts }),
  z.strictObject({ ...requestHead, ...tasks.match }),
  z.strictObject({ ...requestHead, ...tasks.generate }),
]);
export type GpuRequest = z.infer<typeof GpuRequest>;

/** The image as decoded: size in pixels after EXIF orientation; and what its query embeddings show. */
export const ImageInfo = z.object({
  width: z.int().check(z.positive()),
  height: z.int().check(z.positive()),
  format: z.enum(['jpeg', 'png', 'webp', 'gif', 'avif']),
  /** Frames of an animation, of which the first is the image; absent for a still. */
  frames: z.optional(z.int().check(z.minimum(2))),
  /** True of an image that is unlike all that the generative model was trained on; absent else, and where nobody can tell. */
  outside_training: z.optional(z.literal(true)),
});
export type ImageInfo = z.infer<typeof ImageInfo>;

export const FinishReason = z.enum(['stop', 'length']);
export type FinishReason = z.infer<typeof FinishReason>;

/** Milliseconds the worker spent on each part of a request; parts it did not need are absent. */
export const GpuTimings = z.object({
  queue: z.optional(z.number()),
  decode_image: z.optional(z.number()),
  vision: z.optional(z.number()),
  qformer: z.optional(z.number()),
  match: z.optional(z.number()),
  prefill: z.optional(z.number()),
  decode: z.optional(z.number()),
});
export type GpuTimings = z.infer<typeof GpuTimings>;

/** Last frame of a reply. */
export const GpuDone = z.object({
  /** How each of the texts ended, the best first in a beam search; empty where none was generated. */
  choices: z.array(
    z.object({
      finish_reason: FinishReason,
      completion_tokens: z.int().check(z.nonnegative()),
      /** Of a beam search: sum of the log-probabilities over the length to the power of the penalty. */
      score: z.optional(z.number()),
    }),
  ),
  timings_ms: GpuTimings,
});
export type GpuDone = z.infer<typeof GpuDone>;

/** How well a text fits an image: ITM's probability, and ITC's best dot product. */
export const MatchScore = z.object({ itm: z.number(), itc: z.number() });
export type MatchScore = z.infer<typeof MatchScore>;

/** JSON of a `scores` frame, in the order of the texts. */
export const GpuScores = z.object({ scores: z.array(MatchScore) });
export type GpuScores = z.infer<typeof GpuScores>;

/** JSON of a `texts` frame: ITC's unit vector of each text. */
export const GpuTexts = z.object({ embeddings: z.array(z.array(z.number())) });
export type GpuTexts = z.infer<typeof GpuTexts>;

const servedModel = z.object({
  name: z.string(),
  revision: z.string(),
  /** Bits of the large weights: fp32, int8 or int4. */
  precision: z.optional(z.string()),
  preprocessing: z.optional(z.string()),
});

/** Header of the worker's replies to `/v1/run`: its fingerprint. */
export const FINGERPRINT_HEADER = 'x-blip2-fingerprint';

/** Names what writes: two workers with the same write the same where nothing is drawn. */
const Fingerprint = z.string().check(z.regex(/^[\w-]{1,64}$/));

/** What the header says, where it says something. */
export function fingerprintFrom(header: string | null): string | undefined {
  const { data } = Fingerprint.safeParse(header);
  return data;
}

/** `GET /v1/model` of the worker. */
export const WorkerModel = z.object({
  ...servedModel.shape,
  execution_provider: z.string(),
  /** Why this one was chosen. */
  execution_provider_why: z.optional(z.string()),
  fingerprint: z.optional(Fingerprint),
  /** The retrieval model, where one is served. */
  retrieval: z.optional(servedModel),
});
export type WorkerModel = z.infer<typeof WorkerModel>;
