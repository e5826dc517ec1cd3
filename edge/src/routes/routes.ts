/** The table of all routes: the app registers them from it, and the OpenAPI document is generated from it. */
import { PROBLEMS, type ProblemSlug } from '@blip2/shared/errors';
import { AnswerOptions } from '@blip2/shared/schemas/answers';
import { CaptionOptions } from '@blip2/shared/schemas/captions';
import { described } from '@blip2/shared/schemas/described';
import {
  CachedEmbeddingsPath,
  CachedEmbeddingsQuery,
  EmbeddingsOptions,
} from '@blip2/shared/schemas/embeddings';
import {
  BodyHeaders,
  CachedEmbeddingHeaders,
  CommonHeaders,
  EmbeddingHeaders,
  EmbeddingLookupHeaders,
  GenerationHeaders,
} from '@blip2/shared/schemas/headers';
import { MatchOptions } from '@blip2/shared/schemas/match';
import * as z from 'zod/mini';
import { HUGGING_FACE_ROUTES } from '../dialects/hugging-face/routes.ts';
import { MOONDREAM_ROUTES } from '../dialects/moondream/routes.ts';
import { OLLAMA_ROUTES } from '../dialects/ollama/routes.ts';
import { BATCH_ROUTES } from '../dialects/openai/batch-routes.ts';
import { OPENAI_ROUTES } from '../dialects/openai/routes.ts';
import { REPLICATE_ROUTES } from '../dialects/replicate/routes.ts';
import { answers } from './answers.ts';
import { captions } from './captions.ts';
import { createEmbeddings } from './create-embeddings.ts';
import { deleteImageRoute } from './delete-image.ts';
import { health } from './health.ts';
import { JOB_ROUTES } from './jobs/routes.ts';
import { lookupEmbeddings } from './lookup-embeddings.ts';
import { match } from './match.ts';
import { openApiRoute } from './openapi.ts';
import { page } from './page.ts';
import { JSON_BODY, LARGE_REPLY, LOOKUP, REQUEST, WORK } from './problem-lists.ts';
import { problemPage } from './problems.ts';
import { readEmbeddings } from './read-embeddings.ts';
import { referenceRoutes } from './reference.ts';
import type { Route } from './route.ts';
import { usage } from './usage.ts';

const STREAMING = `

With \`stream: true\`, or where \`stream\` is not set and \`Accept\` prefers \`text/event-stream\` to JSON, the reply is a stream of server-sent
events: \`image\`, then a \`token\` for each part of the text, and \`done\` with the whole reply, or \`error\` with a problem as the last. Comments keep it open
while nothing flows. A problem before the first event is a reply with its own status. Who leaves a stream ends its work.`;

const generation: Pick<Route, 'tag' | 'headers' | 'problems'> = {
  tag: 'text',
  headers: ['server-timing', 'cache-control'],
  problems: [...REQUEST, ...WORK, ...LOOKUP, 'not-acceptable'],
};

const slug = described(
  z.enum(Object.keys(PROBLEMS) as ProblemSlug[]),
  'The last part of the `type` of a problem.',
  'prompt-too-long',
);

const API: readonly Route[] = [
  {
    ...generation,
    method: 'POST',
    path: '/v1/captions',
    handler: captions,
    operationId: 'createCaption',
    summary: 'Caption an image',
    description: `Says in words what the image shows, after a beginning that you may give.${STREAMING}`,
    parameters: { header: GenerationHeaders },
    request: { json: 'CaptionRequest', fields: CaptionOptions },
    reply: { 'application/json': ['CaptionReply'], 'text/event-stream': 'caption-events' },
  },
  {
    ...generation,
    method: 'POST',
    path: '/v1/answers',
    handler: answers,
    operationId: 'createAnswer',
    summary: 'Answer a question about an image',
    description: `Answers a question, after earlier turns that you may give.${STREAMING}`,
    parameters: { header: GenerationHeaders },
    request: { json: 'AnswerRequest', fields: AnswerOptions },
    reply: { 'application/json': ['AnswerReply'], 'text/event-stream': 'answer-events' },
  },
  {
    method: 'POST',
    path: '/v1/match',
    handler: match,
    operationId: 'matchTexts',
    tag: 'matching',
    summary: 'Tell how well texts fit an image',
    description:
      'Scores each text by ITM, which looks at the image and the text together, and by ITC, which compares their embeddings. The image itself is needed: its hash does not suffice.',
    parameters: { header: BodyHeaders },
    request: { json: 'MatchRequest', fields: MatchOptions },
    reply: { 'application/json': ['MatchReply'] },
    headers: ['server-timing', 'cache-control'],
    problems: [...REQUEST, ...WORK, 'not-acceptable', 'no-retrieval-model'],
  },
  {
    method: 'POST',
    path: '/v1/embeddings',
    handler: createEmbeddings,
    operationId: 'createEmbeddings',
    tag: 'embeddings',
    summary: 'Embed an image, or texts',
    description:
      'Returns the embeddings of an image, computed and cached where they are not cached yet; or those of texts, which are never cached. Send an image or texts, not both. A body with `input` is in OpenAI’s form, and so are the reply and the errors.',
    parameters: { header: EmbeddingHeaders },
    request: {
      json: 'EmbeddingsRequest',
      otherJson: 'OpenAiEmbeddingsRequest',
      fields: EmbeddingsOptions,
    },
    reply: {
      'application/json': ['EmbeddingsReply', 'TextEmbeddingsReply', 'OpenAiEmbeddingsReply'],
      'application/octet-stream': 'binary',
      'application/x-npy': 'binary',
    },
    headers: ['server-timing', 'cache-control', 'vary', 'content-location', 'x-shape', 'x-dtype'],
    problems: [...REQUEST, ...WORK, ...LOOKUP, 'not-acceptable', 'no-retrieval-model'],
    errors: 'both',
  },
  {
    method: 'GET',
    path: '/v1/embeddings/{sha256}',
    handler: readEmbeddings,
    operationId: 'getEmbeddings',
    tag: 'embeddings',
    summary: 'Read cached embeddings of an image',
    description:
      'Reads the cache and never computes: no GPU worker is needed. As JSON, as a file of NumPy in float32, or as bare values in fp16.',
    parameters: {
      path: CachedEmbeddingsPath,
      query: CachedEmbeddingsQuery,
      header: CachedEmbeddingHeaders,
    },
    reply: {
      'application/json': ['EmbeddingsReply'],
      'application/octet-stream': 'binary',
      'application/x-npy': 'binary',
    },
    headers: ['cache-control', 'etag', 'vary', 'x-shape', 'x-dtype'],
    replies: {
      304: {
        description: 'They are still the same.',
        headers: ['cache-control', 'etag', 'vary'],
      },
    },
    problems: ['invalid-request', 'not-acceptable', 'no-retrieval-model', ...LOOKUP],
  },
  {
    method: 'GET',
    path: '/v1/usage',
    handler: usage,
    operationId: 'getUsage',
    tag: 'usage',
    summary: 'Tell what the caller may use, and has used',
    description:
      'The limits of the key that is sent, or of the address where none is needed, with what is left of them, and requests, tokens and images by day. It is not counted as a request.',
    parameters: { header: CommonHeaders },
    reply: { 'application/json': ['UsageReply'] },
    headers: ['cache-control'],
    problems: [],
  },
  {
    method: 'DELETE',
    path: '/v1/images/{sha256}',
    handler: deleteImageRoute,
    operationId: 'deleteImage',
    tag: 'images',
    summary: 'Delete what is remembered of an image',
    description:
      'Deletes the embeddings of every kind and instruction, and all else that is cached of the image, in the namespace of the key. The reply is the same whether anything was there. Other locations follow within minutes.',
    parameters: { path: CachedEmbeddingsPath, header: CommonHeaders },
    status: 204,
    reply: {},
    headers: ['cache-control'],
    problems: [
      'invalid-request',
      'deletion-refused',
      'too-many-requests',
      'cache-unavailable',
      'worker-unavailable',
      'bad-gateway',
    ],
  },
  {
    method: 'POST',
    path: '/v1/embeddings/lookup',
    handler: lookupEmbeddings,
    operationId: 'lookupEmbeddings',
    tag: 'embeddings',
    summary: 'Read cached embeddings of many images',
    description:
      'Reads the cache and never computes, for up to 1,000 images at a time. The reply is streamed: JSON lines, in the order of the hashes; a file of safetensors; or one of NumPy. What is not cached is named in it.',
    parameters: { header: EmbeddingLookupHeaders },
    request: { json: 'EmbeddingsLookupRequest' },
    reply: {
      'application/x-ndjson': 'embedding-lines',
      'application/x-safetensors': 'binary',
      'application/x-npz': 'binary',
    },
    headers: ['cache-control', 'vary'],
    problems: [
      ...JSON_BODY,
      'deadline-exceeded',
      'too-many-requests',
      'overloaded',
      'not-acceptable',
      'no-retrieval-model',
      'cache-unavailable',
      'prompt-too-long',
    ],
  },
  ...JOB_ROUTES,
  ...OPENAI_ROUTES,
  ...BATCH_ROUTES,
  ...HUGGING_FACE_ROUTES,
  ...OLLAMA_ROUTES,
  ...MOONDREAM_ROUTES,
  ...REPLICATE_ROUTES,
  {
    method: 'GET',
    path: '/healthz',
    handler: health,
    operationId: 'getHealth',
    tag: 'service',
    summary: 'Tell whether the whole chain can answer',
    description:
      'Asks the GPU worker and KV. 200 only where all is well, else 503 naming what is not.',
    parameters: { header: CommonHeaders },
    reply: { 'application/json': ['Health'] },
    headers: ['cache-control'],
    problems: ['worker-unavailable', 'model-unavailable', 'cache-unavailable'],
  },
  {
    method: 'GET',
    path: '/problems/{slug}',
    handler: problemPage,
    operationId: 'getProblem',
    tag: 'service',
    summary: 'Explain a type of problem',
    description: 'What the `type` of a problem document means, why it happens, and what to do.',
    parameters: { path: z.object({ slug }), header: CommonHeaders },
    reply: { 'text/plain': 'text' },
    headers: [],
    problems: ['not-found'],
  },
  {
    method: 'GET',
    path: '/',
    handler: page,
    operationId: 'getPage',
    tag: 'service',
    summary: 'Show a page to try it',
    description: 'A page for people: captions, questions and answers, in the browser.',
    parameters: { header: CommonHeaders },
    reply: { 'text/html': 'text' },
    headers: ['cache-control'],
    problems: LARGE_REPLY,
  },
];

export const ROUTES: readonly Route[] = [
  ...API,
  openApiRoute(() => ROUTES),
  ...referenceRoutes(() => ROUTES),
];
