/** The table of all routes: the app registers them from it, and the OpenAPI document is generated from it. */
import { answers } from './answers.ts';
import { captions } from './captions.ts';
import { createEmbeddings } from './create-embeddings.ts';
import { health } from './health.ts';
import { match } from './match.ts';
import { openApiRoute } from './openapi.ts';
import { page } from './page.ts';
import { problemPage } from './problems.ts';
import { readEmbeddings } from './read-embeddings.ts';
import type { MediaContent, Route, SchemaName } from './route.ts';

/** The three forms of a request with an image. */
const withImage = (schema: SchemaName): Record<string, MediaContent> => ({
  'application/json': [schema],
  'multipart/form-data': 'form',
  'image/*': 'binary',
});

const STREAMING =
  'With stream: true or Accept: text/event-stream the reply is a stream. Events: image (ImageEvent), ' +
  'token (TokenEvent), done (DoneEvent) or error (Problem).';

const described: readonly Route[] = [
  {
    method: 'POST',
    path: '/v1/captions',
    handler: captions,
    summary: 'Caption an image',
    description: STREAMING,
    request: withImage('CaptionRequest'),
    reply: { 'application/json': ['CaptionReply'], 'text/event-stream': 'text' },
  },
  {
    method: 'POST',
    path: '/v1/answers',
    handler: answers,
    summary: 'Answer a question about an image',
    description: STREAMING,
    request: withImage('AnswerRequest'),
    reply: { 'application/json': ['AnswerReply'], 'text/event-stream': 'text' },
  },
  {
    method: 'POST',
    path: '/v1/match',
    handler: match,
    summary: 'How well texts fit an image',
    request: withImage('MatchRequest'),
    reply: { 'application/json': ['MatchReply'] },
  },
  {
    method: 'POST',
    path: '/v1/embeddings',
    handler: createEmbeddings,
    summary: 'Compute and cache the embeddings of an image, or embed texts',
    request: withImage('EmbeddingsRequest'),
    reply: { 'application/json': ['EmbeddingsReply', 'TextEmbeddingsReply'] },
  },
  {
    method: 'GET',
    path: '/v1/embeddings/{sha256}',
    handler: readEmbeddings,
    summary: 'Cached embeddings of an image',
    parameters: [
      {
        name: 'sha256',
        in: 'path',
        required: true,
        schema: { type: 'string', pattern: '^[0-9a-f]{64}$' },
      },
      { name: 'kind', in: 'query', schema: { enum: ['query', 'itc'], default: 'query' } },
      { name: 'instruction', in: 'query', schema: { type: 'string', pattern: '\\S' } },
    ],
    reply: {
      'application/json': ['EmbeddingsReply'],
      'application/octet-stream': 'binary',
      'application/x-npy': 'binary',
    },
    replies: { 304: 'The client has it' },
  },
  {
    method: 'GET',
    path: '/healthz',
    handler: health,
    summary: 'Whether the whole chain can answer',
    reply: { 'application/json': ['Health'] },
  },
  {
    method: 'GET',
    path: '/problems/{slug}',
    handler: problemPage,
    summary: 'What the type of a problem means',
    parameters: [{ name: 'slug', in: 'path', required: true, schema: { type: 'string' } }],
    reply: { 'text/plain': 'text' },
  },
  {
    method: 'GET',
    path: '/',
    handler: page,
    summary: 'A page to try it',
    reply: { 'text/html': 'text' },
  },
];

export const ROUTES: readonly Route[] = [...described, openApiRoute(described)];
