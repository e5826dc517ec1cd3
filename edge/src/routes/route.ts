/** The type of a route: method and path, handler, and description for the OpenAPI document. */
import type { Scope } from '@blip2/shared/api-key';
import type { ProblemSlug } from '@blip2/shared/errors';
import type { ReplyHeader } from '@blip2/shared/schemas/headers';
import type * as z from 'zod/mini';
import type { Handler, IsThere } from './app-context.ts';
import type { SchemaName } from './openapi/schemas.ts';

/** Groups of routes in the document: those that a key may be good for, those for any key, and those that need none. */
export type Tag = Scope | 'usage' | 'service';

/** A request with an image, in one of its forms: JSON of a schema, a form, or the image itself. */
export type ImageRequest = {
  json: SchemaName;
  /** What JSON may be as well: the form of a dialect on the same path. */
  otherJson?: SchemaName;
  /** The members other than the image: parameters of the query, and fields of a form. */
  fields: z.ZodMiniObject;
};

/** A request that is JSON: of one schema, of others where the path does not say which, or an image itself in its place. */
export type JsonRequest = {
  json: SchemaName;
  otherJson?: readonly SchemaName[];
  orImage?: true;
  /** What it may be in place of JSON: JSON lines, in these words. */
  orLines?: string;
  /** There may be none. */
  orNone?: true;
};

/** A request that is a form with one file. */
export type FileRequest = {
  /** Name of the part that is the file. */
  file: string;
  /** What it is, where it is no image. */
  content?: { description: string; example: string };
  /** The other parts. */
  fields: z.ZodMiniObject;
};

/** What a body is: JSON of one of the schemas, the events of a caption or an answer, text, or embeddings as bytes. */
export type ReplyContent =
  | readonly SchemaName[]
  | 'caption-events'
  | 'answer-events'
  | 'chat-events'
  | 'response-events'
  | 'moondream-events'
  | 'ollama-chat-lines'
  | 'ollama-generate-lines'
  | 'prediction-events'
  | 'embedding-lines'
  | 'job-events'
  | 'result-lines'
  | 'text'
  | 'file'
  | 'binary';

export type Route = {
  /** GET includes HEAD. */
  method: 'GET' | 'POST' | 'DELETE';
  /** As in OpenAPI, with `{name}` for a parameter. */
  path: string;
  handler: Handler;
  /** Where the reply to a POST hands out an id: a reply whose id is not found any more is not replayed. */
  isThere?: IsThere;
  operationId: string;
  tag: Tag;
  /** Whether what the URL itself holds is what lets a request in, and no key is read. */
  isSigned?: true;
  summary: string;
  description: string;
  /** What the route reads apart from the body: a member for each parameter. */
  parameters: { path?: z.ZodMiniObject; query?: z.ZodMiniObject; header: z.ZodMiniObject };
  request?: ImageRequest | JsonRequest | FileRequest;
  /** Status of a reply that is as it should be, where it is not 200. */
  status?: 201 | 202 | 204;
  /** Its body by media type. */
  reply: Record<string, ReplyContent>;
  /** Its headers; `x-request-id` is a header of all replies. */
  headers: readonly ReplyHeader[];
  /** Further replies that are no problems. */
  replies?: Record<
    number,
    {
      description: string;
      headers: readonly ReplyHeader[];
      reply?: Record<string, ReplyContent>;
    }
  >;
  /** The problems that it can reply with, apart from those of every route. */
  problems: readonly ProblemSlug[];
  /** The form of its errors: problem documents where nothing is said, `both` where the body of a request decides. */
  errors?: 'openai' | 'hugging-face' | 'ollama' | 'moondream' | 'replicate' | 'both';
};
