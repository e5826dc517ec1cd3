/** The dialects of other services: which of them a request is in, and so the form of its errors. */
import { type ApiError, problemResponse } from '@blip2/shared/errors';
import { huggingFaceErrorResponse, isHuggingFacePath } from './hugging-face/errors.ts';
import {
  isMoondreamNode,
  isMoondreamPath,
  moondreamErrorResponse,
  moondreamNodeErrorResponse,
  whyNotInMoondream,
} from './moondream/errors.ts';
import { isOllamaPath, ollamaErrorResponse, whyNotInOllama } from './ollama/errors.ts';
import {
  combinedErrorResponse,
  isOpenAiClient,
  isOpenAiPath,
  openAiErrorResponse,
} from './openai/errors.ts';
import { isReplicatePath, replicateErrorResponse } from './replicate/errors.ts';

/** A dialect, our own API, or either where nobody can tell. */
export type Dialect =
  | 'native'
  | 'openai'
  | 'hugging-face'
  | 'replicate'
  | 'ollama'
  | 'moondream'
  | 'moondream-node'
  | 'either';

type ErrorResponse = (error: ApiError, headers?: Readonly<Record<string, string>>) => Response;

const ERROR_RESPONSES: Record<Dialect, ErrorResponse> = {
  native: problemResponse,
  openai: openAiErrorResponse,
  'hugging-face': huggingFaceErrorResponse,
  ollama: ollamaErrorResponse,
  moondream: moondreamErrorResponse,
  'moondream-node': moondreamNodeErrorResponse,
  replicate: replicateErrorResponse,
  either: combinedErrorResponse,
};

/** The base URL of OpenAI's clients, under which our own routes are, too. */
const isSharedPath = (path: string) => /^\/v1(\/|$)/.test(path);
const OURS = /^\/v1\/(captions|answers|match|embeddings|images|jobs|usage)(\/|$)/;

/**
 * What path and headers say; a handler that reads several dialects says later which it was.
 * @example dialectOf('/v1/models', headers) // 'openai'
 */
export function dialectOf(path: string, headers: Headers): Dialect {
  // The path is OpenAI's as well as ours: where the body has not been read, who sends it tells.
  if (path === '/v1/embeddings' && isOpenAiClient(headers)) return 'openai';
  if (isReplicatePath(path)) return 'replicate';
  if (isHuggingFacePath(path)) return 'hugging-face';
  if (isOllamaPath(path)) return 'ollama';
  if (isMoondreamPath(path))
    return isMoondreamNode(headers.get('user-agent') ?? undefined) ? 'moondream-node' : 'moondream';
  if (isOpenAiPath(path)) return 'openai';
  return isSharedPath(path) && !OURS.test(path) ? 'either' : 'native';
}

/** Why there is nothing at a path, and what there is in its place. */
export function nothingAt(path: string): string {
  const why = whyNotInOllama(path) ?? whyNotInMoondream(path);
  return why ?? 'There is no such route; see /openapi.json.';
}

export function errorResponseIn(
  dialect: Dialect,
  error: ApiError,
  headers?: Readonly<Record<string, string>>,
): Response {
  return ERROR_RESPONSES[dialect](error, headers);
}
