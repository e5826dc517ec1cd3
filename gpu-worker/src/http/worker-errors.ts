/** Problems of the GPU worker itself, not of a request. */
import { ApiError } from '@blip2/shared/errors';

export function shuttingDown(): ApiError {
  return new ApiError('shutting-down', 'This worker accepts no more requests.', { retry_after: 1 });
}

export function deadlineExceeded(): ApiError {
  return new ApiError('deadline-exceeded', 'The request was not finished before its deadline.');
}

export function nothingArrived(ms: number): ApiError {
  return new ApiError('deadline-exceeded', `No request frame arrived within ${ms / 1000} seconds.`);
}

export function uploadTooSlow(ms: number): ApiError {
  const detail = `The rest of the body did not arrive within ${Math.round(ms / 1000)} seconds.`;
  return new ApiError('deadline-exceeded', detail);
}

export function weightsChanged(): ApiError {
  const detail =
    'The files of the model were changed while it was served. The worker starts again.';
  return new ApiError('worker-unavailable', detail, { retry_after: 5 });
}

export function engineHangs(seconds: number): ApiError {
  const detail = `The engine has not advanced for ${Math.round(seconds)} seconds.`;
  return new ApiError('worker-unavailable', detail, { retry_after: 5 });
}
