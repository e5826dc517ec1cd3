/** The OpenAPI 3.1 document, made of the table of routes and the schemas that check requests. */

import type { ProblemSlug } from '@blip2/shared/errors';
import { generationOptions } from '@blip2/shared/schemas/generation';
import { type ReplyHeader, ReplyHeaders } from '@blip2/shared/schemas/headers';
import { VERSION } from '@blip2/shared/version';
import { GenerationConfig } from '@blip2/shared/wire';
import type { Dependencies } from '../../dependencies.ts';
import type { Route, Tag } from '../route.ts';
import { replyContent, requestBody } from './bodies.ts';
import { introduction } from './introduction.ts';
import { parametersOf } from './parameters.ts';
import { problemExamples, problemResponses, problemsOf, takesIdempotencyKey } from './problems.ts';
import { type Defaults, jsonSchema, namedSchemas } from './schemas.ts';

const TAGS: Record<Tag, string> = {
  text: 'Captions and answers, whole or as they are written.',
  matching: 'How well texts fit an image.',
  embeddings: 'What the Q-Former makes of an image, and what texts are compared with.',
  images: 'What is remembered of an image.',
  jobs: 'Work on many images, which nobody waits for.',
  openai: 'The same for clients of OpenAI’s API: their base URL is `/v1`.',
  huggingface:
    'The same for clients of Hugging Face’s API: their endpoint is one of these paths under `/hf`.',
  ollama: 'The same for clients of Ollama’s API: this service is their host.',
  moondream: 'The same for clients of Moondream’s API: their endpoint is `/moondream/v1`.',
  replicate:
    'The same for clients of Replicate’s API, as predictions and files that are stored for an hour: their base URL is `/replicate/v1`.',
  usage: 'What a key, or an address, may use and has used.',
  service: 'Health, and what describes the service.',
};

/** @param deps what is served, and within which limits */
export function openApiDocument(
  routes: readonly Route[],
  deps: Pick<Dependencies, 'config' | 'models'>,
): object {
  const defaults = defaultsOf(deps);
  const paths: Record<string, Record<string, object>> = {};
  for (const route of routes) {
    const item = { [route.method.toLowerCase()]: operation(route, defaults) };
    paths[route.path] = { ...paths[route.path], ...item };
  }
  const document = {
    openapi: '3.1.0',
    info: {
      title: 'BLIP-2 at the edge',
      summary: 'Captions, answers, matching and embeddings of images',
      version: VERSION,
      description: introduction(deps),
      license: { name: 'MIT', identifier: 'MIT' },
    },
    servers: [{ url: '/', description: 'The service that sent this document' }],
    security: deps.config.allowAnonymous ? [] : [{ key: [] }],
    tags: Object.entries(TAGS).map(([name, description]) => ({ name, description })),
    paths,
    components: {
      schemas: namedSchemas(defaults),
      examples: problemExamples(asDocuments(routes)),
      headers: HEADERS,
      ...(!deps.config.allowAnonymous && { securitySchemes: { key: KEY } }),
    },
  };
  return naming(deps.models.generate.name, document);
}

/** The examples ask for the embedded model, and so get replies of it: here, for the one that is served. */
function naming(model: string, document: object): object {
  const text = JSON.stringify(document);
  return JSON.parse(text.replaceAll('blip2-scenes', () => JSON.stringify(model).slice(1, -1)));
}

const KEY = {
  type: 'http',
  scheme: 'bearer',
  description: 'A key, `sk-…`, that the operator made.',
};

/** The problems that are ever sent as problem documents: the others are of dialects alone. */
function asDocuments(routes: readonly Route[]): ProblemSlug[] {
  return routes
    .filter(({ errors }) => errors === undefined || errors === 'both')
    .flatMap(problemsOf);
}

function operation(route: Route, defaults: Defaults): object {
  const { operationId, tag, isSigned, summary, description, request, reply } = route;
  const { status = 200, replies = {} } = route;
  const limits = limitHeaders(route);
  const all = (names: readonly ReplyHeader[]) => headers([...new Set([...names, ...limits])]);
  const replayed: ReplyHeader[] = takesIdempotencyKey(route) ? ['idempotent-replayed'] : [];
  return {
    operationId,
    tags: [tag],
    ...((tag === 'service' || isSigned) && { security: [] }),
    summary,
    description,
    parameters: parametersOf(route, defaults),
    ...(request && { requestBody: requestBody(request, defaults) }),
    responses: {
      [status]: {
        description: 'OK',
        headers: all([...route.headers, ...replayed]),
        content: replyContent(reply),
      },
      ...Object.fromEntries(
        Object.entries(replies).map(([status, other]) => [
          status,
          {
            description: other.description,
            headers: all([...other.headers, ...replayed]),
            ...(other.reply && { content: replyContent(other.reply) }),
          },
        ]),
      ),
      ...problemResponses(route, all),
    },
  };
}

/** Headers of every reply of a route that is counted. */
function limitHeaders({ tag, errors, isSigned }: Route): readonly ReplyHeader[] {
  if (tag === 'service' || tag === 'usage' || isSigned) return [];
  const isOpenAi = errors === 'openai' || errors === 'both';
  return ['ratelimit', 'ratelimit-policy', ...(isOpenAi ? OPENAI_LIMITS : [])];
}

const OPENAI_LIMITS = [
  'x-ratelimit-limit-requests',
  'x-ratelimit-remaining-requests',
  'x-ratelimit-reset-requests',
  'x-ratelimit-limit-tokens',
  'x-ratelimit-remaining-tokens',
  'x-ratelimit-reset-tokens',
] as const satisfies readonly ReplyHeader[];

function headers(names: readonly ReplyHeader[]): object {
  const all: ReplyHeader[] = ['x-request-id', ...names];
  return Object.fromEntries(all.map((name) => [name, { $ref: `#/components/headers/${name}` }]));
}

const HEADERS = Object.fromEntries(
  Object.entries(ReplyHeaders.shape).map(([name, member]) => {
    const { description, examples, ...schema } = jsonSchema(member, new Map());
    const [example] = (examples ?? []) as unknown[];
    return [name, { description, schema, example }];
  }),
);

/** What a generation does where the request does not say: the checkpoint's defaults, else those of the wire. */
function defaultsOf({ models }: Pick<Dependencies, 'models'>): Defaults {
  const { properties = {} } = jsonSchema(GenerationConfig, new Map());
  const { max_new_tokens: max_tokens, generation } = models.generate;
  const ofModel: Record<string, unknown> = { max_tokens, ...generation };
  const defaults = new Map<unknown, unknown>();
  for (const [name, { default: ofWire }] of Object.entries(properties)) {
    const value = ofModel[name] ?? ofWire;
    const schema = generationOptions[name as keyof typeof generationOptions];
    // Without a seed, one is drawn.
    if (name !== 'seed' && value !== undefined) defaults.set(schema, value);
  }
  return defaults;
}
