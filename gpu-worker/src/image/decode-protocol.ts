/** The messages between the worker and a process that decodes images. One image at a time; each message has one reply. */
import type { Problem } from '@blip2/shared/errors';
import type { ImageInfo } from '@blip2/shared/wire';
import type { ImageLimits } from './decode.ts';
import type { SquareSpec } from './preprocess.ts';

/** `allowance`: bytes of memory that are set aside for it. One that needs more is not decoded. */
export type DecodeTask = {
  bytes: Uint8Array;
  spec: SquareSpec;
  limits: ImageLimits;
  allowance: number;
};

export type DecodeReply =
  /** `rgb`: uint8 [size, size, 3]. */
  | { type: 'done'; info: ImageInfo; rgb: Uint8Array }
  /** It needs more memory than its allowance, in bytes. */
  | { type: 'heavy'; memory: number }
  /** The image is at fault. `cause` is for logs. */
  | { type: 'problem'; problem: Problem; cause: string | undefined }
  /** The decoder is at fault. */
  | { type: 'failed'; error: string };

export type FromDecoder = { type: 'ready' } | DecodeReply;
