/** The events of a GPU worker's reply, one a frame: the type that both sides compile against. */
import { Problem } from './errors.ts';
import {
  decodeJson,
  decodeTokens,
  encodeFrame,
  encodeJsonFrame,
  encodeTokensFrame,
  type Frame,
  FrameError,
  type TokensPayload,
} from './frames.ts';
import { GpuDone, GpuScores, GpuTexts, ImageInfo } from './wire.ts';

/**
 * Events in the order of a reply: `imageInfo` and `embeddings` where an image was sent, then the results (`tokens`,
 * `scores` or `texts`), and `done` or `error` as the last.
 */
export type GpuEvent =
  | { type: 'imageInfo'; image: ImageInfo }
  /** An encoded value (`embedding-codec.ts`): the embeddings of the image, to be cached. */
  | { type: 'embeddings'; embeddings: Uint8Array<ArrayBuffer> }
  | ({ type: 'tokens' } & TokensPayload)
  | ({ type: 'scores' } & GpuScores)
  | ({ type: 'texts' } & GpuTexts)
  | ({ type: 'done' } & GpuDone)
  | { type: 'error'; problem: Problem };

/** @throws FrameError when it is no frame of a reply, or its payload is not of its type */
export function decodeEvent({ type, payload }: Frame): GpuEvent {
  switch (type) {
    case 'imageInfo':
      return { type, image: parsed(ImageInfo, payload) };
    case 'embeddings':
      // A copy: the payload may be a view of a larger chunk.
      return { type, embeddings: payload.slice() };
    case 'tokens':
      return { type, ...decodeTokens(payload) };
    case 'scores':
      return { type, ...parsed(GpuScores, payload) };
    case 'texts':
      return { type, ...parsed(GpuTexts, payload) };
    case 'done':
      return { type, ...parsed(GpuDone, payload) };
    case 'error':
      return { type, problem: parsed(Problem, payload) };
    case 'request':
    case 'image':
      throw new FrameError('unexpected', `a reply has no ${type} frame`);
  }
}

/** The frame as bytes, ready to be sent. */
export function encodeEvent(event: GpuEvent): Uint8Array<ArrayBuffer> {
  switch (event.type) {
    case 'imageInfo':
      return encodeJsonFrame(event.type, event.image);
    case 'embeddings':
      return encodeFrame(event.type, event.embeddings);
    case 'tokens':
      return encodeTokensFrame(event);
    case 'error':
      return encodeJsonFrame(event.type, event.problem);
    case 'scores':
    case 'texts':
    case 'done': {
      const { type, ...payload } = event;
      return encodeJsonFrame(type, payload);
    }
  }
}

type Schema<T> = {
  safeParse(value: unknown): { success: true; data: T } | { success: false; error: Error };
};

function parsed<T>(schema: Schema<T>, payload: Uint8Array): T {
  const result = schema.safeParse(decodeJson(payload));
  if (result.success) return result.data;
  const cause = result.error;
  throw new FrameError('schema', 'a frame holds JSON of another shape', { cause });
}
