/** Lets in who signs with the secret of edge and worker. */
import { ApiError } from '@blip2/shared/errors';
import type { Rejection, SignatureCheck } from '@blip2/shared/request-signature';
import type { MiddlewareHandler } from 'hono';
import type { AppEnv } from './dependencies.ts';

const REASONS: Record<Rejection, string> = {
  unsigned: 'This GPU worker answers its edge alone: the request has no signature.',
  wrong:
    'The signature is not by a secret of this GPU worker: GPU_WORKER_SECRET of the edge has to be one of BLIP2_WORKER_SECRET.',
  'outside-time':
    'The signature was made more than 30 seconds before or after what this GPU worker’s clock says.',
  repeated: 'A request with this signature has come before.',
};

/** @param signatures null where everybody is let in who can reach the worker */
export function checkSignature(signatures: SignatureCheck | null): MiddlewareHandler<AppEnv> {
  return async (c, next) => {
    if (signatures !== null) {
      const { method, path, raw } = c.req;
      const { search } = new URL(raw.url);
      const length = Number(raw.headers.get('content-length') ?? 0);
      const request = { method, path: `${path}${search}`, headers: raw.headers, length };
      const rejection = await signatures.rejection(request);
      if (rejection !== null) throw new ApiError('invalid-key', REASONS[rejection]);
    }
    await next();
  };
}
