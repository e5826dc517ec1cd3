/** JSON payloads of the frames between edge and GPU worker: the contract both sides compile against. */
import * as z from 'zod/mini';

/** Sampling of one sequence. Greedy when `temperature` is 0. */
export const Sampling = z.strictObject({
  max_tokens: z.int().check(z.positive()),
  temperature: z.number().check(z.minimum(0), z.maximum(5)),
  top_p: z.number().check(z.gt(0), z.maximum(1)),
  /** 0 keeps the whole vocabulary. */
  top_k: z.int().check(z.nonnegative()),
  repetition_penalty: z.number().check(z.positive()),
  /** Seed of the sampler's generator; the same seed and request give the same tokens. */
  seed: z.int().check(z.nonnegative(), z.maximum(0xffff_ffff)),
});
export type Sampling = z.infer<typeof Sampling>;

const requestHead = {
  request_id: z.string(),
  /** Revision of the bundle the edge tokenised for; another one at the worker is `model-mismatch`. */
  revision: z.string(),
  /** Milliseconds after which the worker gives up, counted from the arrival of the request. */
  deadline_ms: z.int().check(z.positive()),
};

/**
 * What the edge asks for. `generate` is followed by an `image` or an `embeddings` frame, `embed` by an
 * `image` frame.
 */
export const GpuRequest = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('embed'), ...requestHead }),
  z.strictObject({
    kind: z.literal('generate'),
    ...requestHead,
    /** Text token ids, without the image positions: BOS first for OPT. */
    input_ids: z.array(z.int().check(z.nonnegative())).check(z.minLength(1)),
    sampling: Sampling,
  }),
]);
export type GpuRequest = z.infer<typeof GpuRequest>;

/** The picture as decoded: size in pixels after EXIF orientation. */
export const ImageInfo = z.object({
  width: z.int().check(z.positive()),
  height: z.int().check(z.positive()),
  format: z.enum(['jpeg', 'png', 'webp', 'gif', 'avif']),
});
export type ImageInfo = z.infer<typeof ImageInfo>;

export const FinishReason = z.enum(['stop', 'length']);
export type FinishReason = z.infer<typeof FinishReason>;

/** Milliseconds the worker spent on each part; parts that were not needed are absent. */
export const GpuTimings = z.object({
  queue: z.number(),
  decode_image: z.optional(z.number()),
  vision: z.optional(z.number()),
  qformer: z.optional(z.number()),
  prefill: z.optional(z.number()),
  decode: z.optional(z.number()),
});
export type GpuTimings = z.infer<typeof GpuTimings>;

/** Last frame of a reply. `finish_reason` is absent for `embed`. */
export const GpuDone = z.object({
  finish_reason: z.optional(FinishReason),
  completion_tokens: z.int().check(z.nonnegative()),
  timings_ms: GpuTimings,
});
export type GpuDone = z.infer<typeof GpuDone>;

/** `GET /v1/model` of the worker. */
export const WorkerModel = z.object({
  name: z.string(),
  revision: z.string(),
  execution_provider: z.string(),
});
export type WorkerModel = z.infer<typeof WorkerModel>;
