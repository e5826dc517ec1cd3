/** The routes of OpenAI's API, for the app and for the OpenAPI document. */
import type { ProblemSlug } from '@blip2/shared/errors';
import { CommonHeaders, TextHeaders } from '@blip2/shared/schemas/headers';
import { OpenAiModelPath } from '@blip2/shared/schemas/openai/models';
import type { Route } from '../../routes/route.ts';
import { CONVERSATION } from '../conversation-problems.ts';
import { createChatCompletion } from './chat.ts';
import { listModels, retrieveModel } from './models.ts';
import { createResponse } from './responses.ts';

export const OFFERED = `The image is a \`data:\` URL or an http(s) URL in any message; the latest counts. Without one, a sentence asks for it. What would change
the text and is not done here (JSON as a format, forced calls of tools) is an error; \`tools\`, \`user\`, \`metadata\` and \`store\` are accepted.
Our own options (\`num_beams\`, \`repetition_penalty\`, …) are members beside the others.`;

/** What can be wrong with a conversation whose image may be a file. */
export const OFFERED_PROBLEMS: readonly ProblemSlug[] = [...CONVERSATION, 'not-found'];

export const OPENAI_ROUTES: readonly Route[] = [
  {
    method: 'GET',
    path: '/v1/models',
    handler: listModels,
    operationId: 'listModels',
    tag: 'openai',
    summary: 'List the models that are served',
    description: 'Each under the name by which requests ask for it.',
    parameters: { header: CommonHeaders },
    reply: { 'application/json': ['OpenAiModelList'] },
    headers: [],
    problems: [],
    errors: 'openai',
  },
  {
    method: 'GET',
    path: '/v1/models/{id}',
    handler: retrieveModel,
    operationId: 'retrieveModel',
    tag: 'openai',
    summary: 'Tell whether a model is served',
    description:
      'Its name on the hub is another name of a published checkpoint: `Salesforce/blip2-opt-2.7b`, its slash as it is or as `%2F`.',
    parameters: { path: OpenAiModelPath, header: CommonHeaders },
    reply: { 'application/json': ['OpenAiModel'] },
    headers: [],
    problems: ['model-not-found'],
    errors: 'openai',
  },
  {
    method: 'POST',
    path: '/v1/chat/completions',
    handler: createChatCompletion,
    operationId: 'createChatCompletion',
    tag: 'openai',
    summary: 'Reply to a conversation about an image',
    description: `${OFFERED}

With \`stream: true\` the reply is a stream of chunks that ends with \`[DONE]\`; one that breaks ends with an error in its place.`,
    parameters: { header: TextHeaders },
    request: { json: 'ChatCompletionRequest' },
    reply: { 'application/json': ['ChatCompletion'], 'text/event-stream': 'chat-events' },
    headers: ['cache-control'],
    problems: OFFERED_PROBLEMS,
    errors: 'openai',
  },
  {
    method: 'POST',
    path: '/v1/responses',
    handler: createResponse,
    operationId: 'createResponse',
    tag: 'openai',
    summary: 'Respond to a conversation about an image',
    description: `${OFFERED}
Nothing is stored: \`previous_response_id\`, \`conversation\` and \`background\` are errors.

With \`stream: true\` the reply is a stream of events; the last is \`response.completed\`, \`response.incomplete\` or \`response.failed\`.`,
    parameters: { header: TextHeaders },
    request: { json: 'ResponseRequest' },
    reply: { 'application/json': ['ResponseObject'], 'text/event-stream': 'response-events' },
    headers: ['cache-control'],
    problems: OFFERED_PROBLEMS,
    errors: 'openai',
  },
];
