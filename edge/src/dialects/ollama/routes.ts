/** The routes of Ollama's API, for the app and for the OpenAPI document. */
import { BodyHeaders, CommonHeaders } from '@blip2/shared/schemas/headers';
import { JSON_BODY } from '../../routes/problem-lists.ts';
import type { Route } from '../../routes/route.ts';
import { CONVERSATION } from '../conversation-problems.ts';
import { embedOneOnOllama, embedOnOllama } from './embed.ts';
import {
  listOllamaModels,
  listRunningModels,
  showOllamaModel,
  tellOllamaVersion,
} from './models.ts';
import { chatOnOllama, generateOnOllama } from './text.ts';

const common = { tag: 'ollama', errors: 'ollama' } as const;

const LINES = `Without \`stream: false\` the reply comes as lines of JSON; the last has \`done: true\`, or an error where the stream breaks. While nothing flows,
spaces come before a line.`;
const REFUSED =
  'What would change the text and is not done here (JSON as a format, tools, reasoning, `min_p`) is an error; options of the machine and `keep_alive` are accepted.';

const reading = {
  ...common,
  method: 'GET',
  parameters: { header: CommonHeaders },
  headers: [],
  problems: [],
} as const;

const embedding = {
  ...common,
  method: 'POST',
  parameters: { header: BodyHeaders },
  headers: ['cache-control'],
  problems: [...CONVERSATION, 'no-retrieval-model'],
} as const;

export const OLLAMA_ROUTES: readonly Route[] = [
  {
    ...common,
    method: 'POST',
    path: '/api/chat',
    handler: chatOnOllama,
    operationId: 'chatOnOllama',
    summary: 'Reply to a conversation about an image',
    description: `The image is in base64 in any message; the latest counts. Without one, a sentence asks for it. ${REFUSED}\n\n${LINES}`,
    parameters: { header: BodyHeaders },
    request: { json: 'OllamaChatRequest' },
    reply: { 'application/json': ['OllamaChatReply'], 'application/x-ndjson': 'ollama-chat-lines' },
    headers: ['cache-control'],
    problems: CONVERSATION,
  },
  {
    ...common,
    method: 'POST',
    path: '/api/generate',
    handler: generateOnOllama,
    operationId: 'generateOnOllama',
    summary: 'Answer a question about an image, or caption it',
    description: `An image without a prompt is captioned. ${REFUSED}\n\n${LINES}`,
    parameters: { header: BodyHeaders },
    request: { json: 'OllamaGenerateRequest' },
    reply: {
      'application/json': ['OllamaGenerateReply'],
      'application/x-ndjson': 'ollama-generate-lines',
    },
    headers: ['cache-control'],
    problems: CONVERSATION,
  },
  {
    ...embedding,
    path: '/api/embed',
    handler: embedOnOllama,
    operationId: 'embedOnOllama',
    summary: 'Embed texts and images',
    description:
      'ITC’s unit vectors, which compare by their dot product. A text that is the address of an image is that image.',
    request: { json: 'OllamaEmbedRequest' },
    reply: { 'application/json': ['OllamaEmbedReply'] },
  },
  {
    ...embedding,
    path: '/api/embeddings',
    handler: embedOneOnOllama,
    operationId: 'embedOneOnOllama',
    summary: 'Embed a text',
    description: 'The older form of `/api/embed`.',
    request: { json: 'OllamaEmbeddingsRequest' },
    reply: { 'application/json': ['OllamaEmbeddingsReply'] },
  },
  {
    ...reading,
    path: '/api/tags',
    handler: listOllamaModels,
    operationId: 'listOllamaModels',
    summary: 'List the models that are served',
    description: 'Each under the name by which requests ask for it.',
    reply: { 'application/json': ['OllamaModelList'] },
  },
  {
    ...reading,
    path: '/api/ps',
    handler: listRunningModels,
    operationId: 'listRunningModels',
    summary: 'List the models that are loaded',
    description: 'All that are served: they stay loaded.',
    reply: { 'application/json': ['OllamaRunningList'] },
  },
  {
    ...common,
    method: 'POST',
    path: '/api/show',
    handler: showOllamaModel,
    operationId: 'showOllamaModel',
    summary: 'Show what a model is and does',
    description: 'Its sizes, its defaults, and whether it writes text or makes embeddings.',
    parameters: { header: BodyHeaders },
    request: { json: 'OllamaShowRequest' },
    reply: { 'application/json': ['OllamaShowReply'] },
    headers: [],
    problems: [...JSON_BODY, 'model-not-found'],
  },
  {
    ...reading,
    path: '/api/version',
    handler: tellOllamaVersion,
    operationId: 'tellOllamaVersion',
    summary: 'Tell the version of the API',
    description:
      'The version of Ollama whose API this is; clients ask for it to know what there is.',
    reply: { 'application/json': ['OllamaVersion'] },
  },
];
