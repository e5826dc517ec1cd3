/** The problem of a caller whose image ended the process that decoded it. */
import { ApiError } from '@blip2/shared/errors';
import type { Ending } from './decode-process.ts';

const SMALLER = 'Scale it down, or save it as a plain JPEG of eight bits.';

/**
 * The image's own fault is a problem with it; that of somebody else who ended the process is none.
 * @param bounds what it was allowed: seconds of processor time, and bytes
 * @param cause for logs: nothing of it reaches a caller
 */
export function problemOfEnding(
  ending: Ending,
  bounds: { seconds: number; bytes: number },
  cause: Error,
): ApiError {
  switch (ending) {
    case 'deadline': {
      const detail = `Decoding this image takes more than the ${bounds.seconds} seconds that it may. ${SMALLER}`;
      return new ApiError('image-too-large', detail, { field: 'image', cause });
    }
    case 'memory': {
      const mebibytes = Math.round(bounds.bytes / 2 ** 20);
      const detail = `Decoding this image takes more than ${mebibytes} MiB of memory, far more than its header says. ${SMALLER}`;
      return new ApiError('image-too-large', detail, { field: 'image', cause });
    }
    case 'crash': {
      const detail =
        'The decoder failed on this image: it is damaged, or not made as its format asks. Save it anew: `magick FILE image.png`.';
      return new ApiError('invalid-image', detail, { field: 'image', cause });
    }
    case 'retired':
      return new ApiError('shutting-down', 'The GPU worker is shutting down.', { cause });
    case 'stuck': {
      const detail = `The image could not be decoded: the decoder came to a standstill. Try again; where that does not help: ${SMALLER}`;
      return new ApiError('overloaded', detail, { retry_after: 1, cause });
    }
    case 'outside':
    case 'canceled': {
      const detail = 'The image could not be decoded: the system ended the decoder. Try again.';
      return new ApiError('overloaded', detail, { retry_after: 1, cause });
    }
  }
}
