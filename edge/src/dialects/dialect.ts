/** The dialects of other services: which of them a request is in, and so the form of its errors. */
import { type ApiError, problemResponse } from '@blip2/shared/errors';
import { isOpenAiPath, openAiErrorResponse } from './openai/errors.ts';

/** A dialect, or our own API. */
export type Dialect = 'native' | 'openai';

type ErrorResponse = (error: ApiError, headers?: Readonly<Record<string, string>>) => Response;

const ERROR_RESPONSES: Record<Dialect, ErrorResponse> = {
  native: problemResponse,
  openai: openAiErrorResponse,
};

/**
 * What the path says alone; a handler that reads several dialects says later which it was.
 * @example dialectOfPath('/v1/models') // 'openai'
 */
export function dialectOfPath(path: string): Dialect {
  return isOpenAiPath(path) ? 'openai' : 'native';
}

export function errorResponseIn(
  dialect: Dialect,
  error: ApiError,
  headers?: Readonly<Record<string, string>>,
): Response {
  return ERROR_RESPONSES[dialect](error, headers);
}
