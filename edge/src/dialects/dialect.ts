/** The dialects of other services: which of them a request is in, and so the form of its errors. */
import { type ApiError, problemResponse } from '@blip2/shared/errors';
import { huggingFaceErrorResponse, isHuggingFacePath } from './hugging-face/errors.ts';
import { combinedErrorResponse, isOpenAiPath, openAiErrorResponse } from './openai/errors.ts';

/** A dialect, our own API, or either where nobody can tell. */
export type Dialect = 'native' | 'openai' | 'hugging-face' | 'either';

type ErrorResponse = (error: ApiError, headers?: Readonly<Record<string, string>>) => Response;

const ERROR_RESPONSES: Record<Dialect, ErrorResponse> = {
  native: problemResponse,
  openai: openAiErrorResponse,
  'hugging-face': huggingFaceErrorResponse,
  either: combinedErrorResponse,
};

/** The base URL of OpenAI's clients, under which our own routes are, too. */
const isSharedPath = (path: string) => /^\/v1(\/|$)/.test(path);
const OURS = /^\/v1\/(captions|answers|match|embeddings|images)(\/|$)/;

/**
 * What the path says alone; a handler that reads several dialects says later which it was.
 * @example dialectOfPath('/v1/models') // 'openai'
 */
export function dialectOfPath(path: string): Dialect {
  if (isHuggingFacePath(path)) return 'hugging-face';
  if (isOpenAiPath(path)) return 'openai';
  return isSharedPath(path) && !OURS.test(path) ? 'either' : 'native';
}

export function errorResponseIn(
  dialect: Dialect,
  error: ApiError,
  headers?: Readonly<Record<string, string>>,
): Response {
  return ERROR_RESPONSES[dialect](error, headers);
}
