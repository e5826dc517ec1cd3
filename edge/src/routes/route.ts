/** The type of a route: method and path, handler, and description for the OpenAPI document. */
import { Problem } from '@blip2/shared/errors';
import { AnswerReply, AnswerRequest } from '@blip2/shared/schemas/answers';
import { CaptionReply, CaptionRequest } from '@blip2/shared/schemas/captions';
import {
  EmbeddingsReply,
  EmbeddingsRequest,
  TextEmbeddingsReply,
} from '@blip2/shared/schemas/embeddings';
import { DoneEvent, ImageEvent, TokenEvent } from '@blip2/shared/schemas/events';
import { Health } from '@blip2/shared/schemas/health';
import { MatchReply, MatchRequest } from '@blip2/shared/schemas/match';
import type { Handler } from './app-context.ts';

/** Schemas that the document names; those that check the requests. */
export const SCHEMAS = {
  AnswerReply,
  AnswerRequest,
  CaptionReply,
  CaptionRequest,
  DoneEvent,
  EmbeddingsReply,
  EmbeddingsRequest,
  Health,
  ImageEvent,
  MatchReply,
  MatchRequest,
  Problem,
  TextEmbeddingsReply,
  TokenEvent,
};
export type SchemaName = keyof typeof SCHEMAS;

/** What a body is: JSON of one of the schemas, any other JSON object, a form with the file `image`, text, or bytes. */
export type MediaContent = readonly SchemaName[] | 'object' | 'form' | 'text' | 'binary';

type Parameter = {
  name: string;
  in: 'path' | 'query';
  required?: true;
  schema: Record<string, unknown>;
};

export type Route = {
  /** GET includes HEAD. */
  method: 'GET' | 'POST';
  /** As in OpenAPI, with `{name}` for a parameter. */
  path: string;
  handler: Handler;
  summary: string;
  description?: string;
  parameters?: readonly Parameter[];
  /** Request body by media type. */
  request?: Record<string, MediaContent>;
  /** Body of the reply 200 by media type. */
  reply: Record<string, MediaContent>;
  /** Descriptions of further replies that are no problems, by status. */
  replies?: Record<number, string>;
};
