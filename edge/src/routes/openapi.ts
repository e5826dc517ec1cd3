/** `GET /openapi.json`, made from the schemas that check the requests. */
import { Problem } from '@blip2/shared/errors';
import { AnswerReply, AnswerRequest } from '@blip2/shared/schemas/answers';
import { CaptionReply, CaptionRequest } from '@blip2/shared/schemas/captions';
import {
  EmbeddingsReply,
  EmbeddingsRequest,
  TextEmbeddingsReply,
} from '@blip2/shared/schemas/embeddings';
import { DoneEvent, ImageEvent, TokenEvent } from '@blip2/shared/schemas/events';
import { MatchReply, MatchRequest } from '@blip2/shared/schemas/match';
import * as z from 'zod/mini';
import type { AppContext } from './request-context.ts';

const SCHEMAS = {
  AnswerReply,
  AnswerRequest,
  CaptionReply,
  CaptionRequest,
  DoneEvent,
  EmbeddingsReply,
  EmbeddingsRequest,
  ImageEvent,
  MatchReply,
  MatchRequest,
  Problem,
  TextEmbeddingsReply,
  TokenEvent,
};
type SchemaName = keyof typeof SCHEMAS;

let document: unknown;

export function openApi(c: AppContext): Response {
  document ??= build();
  return c.json(document, 200, { 'cache-control': 'public, max-age=300' });
}

function build(): unknown {
  const schemas = Object.fromEntries(
    Object.entries(SCHEMAS).map(([name, schema]) => {
      const { $schema: _dialect, ...json } = z.toJSONSchema(schema, { io: 'input' });
      return [name, json];
    }),
  );
  return {
    openapi: '3.1.0',
    info: { title: 'BLIP-2 at the edge', version: '1' },
    paths: {
      '/v1/captions': {
        post: textOperation('Caption an image', 'CaptionRequest', 'CaptionReply'),
      },
      '/v1/answers': {
        post: textOperation('Answer a question about an image', 'AnswerRequest', 'AnswerReply'),
      },
      '/v1/match': {
        post: {
          summary: 'How well texts fit an image',
          requestBody: requestBody('MatchRequest'),
          responses: { 200: reply(json('MatchReply')), default: problem },
        },
      },
      '/v1/embeddings': {
        post: {
          summary: 'Compute and keep the embeddings of an image, or embed texts',
          requestBody: requestBody('EmbeddingsRequest'),
          responses: {
            200: reply({
              'application/json': {
                schema: { oneOf: [ref('EmbeddingsReply'), ref('TextEmbeddingsReply')] },
              },
            }),
            default: problem,
          },
        },
      },
      '/v1/embeddings/{sha256}': {
        get: {
          summary: 'Kept embeddings of an image',
          parameters: [
            {
              name: 'sha256',
              in: 'path',
              required: true,
              schema: { type: 'string', pattern: '^[0-9a-f]{64}$' },
            },
            { name: 'kind', in: 'query', schema: { enum: ['query', 'itc'], default: 'query' } },
          ],
          responses: {
            200: reply({
              ...json('EmbeddingsReply'),
              'application/octet-stream': { schema: binary },
              'application/x-npy': { schema: binary },
            }),
            304: { description: 'The client has it' },
            default: problem,
          },
        },
      },
    },
    components: { schemas },
  };
}

const binary = { type: 'string', format: 'binary' };

function ref(name: SchemaName) {
  return { $ref: `#/components/schemas/${name}` };
}

function json(name: SchemaName) {
  return { 'application/json': { schema: ref(name) } };
}

function reply(content: unknown) {
  return { description: 'OK', content };
}

const problem = {
  description: 'A problem (RFC 9457)',
  content: { 'application/problem+json': { schema: ref('Problem') } },
};

function requestBody(name: SchemaName) {
  return {
    required: true,
    content: {
      ...json(name),
      'multipart/form-data': { schema: { type: 'object', properties: { image: binary } } },
      'image/*': { schema: binary },
    },
  };
}

function textOperation(summary: string, request: SchemaName, response: SchemaName) {
  const events =
    'Events: image (ImageEvent), token (TokenEvent), done (DoneEvent) or error (Problem)';
  return {
    summary,
    description: `With stream: true or Accept: text/event-stream the reply is a stream. ${events}.`,
    requestBody: requestBody(request),
    responses: {
      200: reply({ ...json(response), 'text/event-stream': { schema: { type: 'string' } } }),
      default: problem,
    },
  };
}
