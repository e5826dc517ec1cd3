/** The routes of Hugging Face's API, for the app and for the OpenAPI document. */
import type { ProblemSlug } from '@blip2/shared/errors';
import { BodyHeaders, TextHeaders } from '@blip2/shared/schemas/headers';
import {
  EmbeddingParameters,
  ZeroShotParameters,
} from '@blip2/shared/schemas/hugging-face/compare';
import { AnsweringParameters, ImageToTextOptions } from '@blip2/shared/schemas/hugging-face/text';
import { OpenAiModelPath } from '@blip2/shared/schemas/openai/models';
import type { Route } from '../../routes/route.ts';
import { CONVERSATION } from '../conversation-problems.ts';
import { OFFERED, OFFERED_PROBLEMS } from '../openai/routes.ts';
import { answer } from './answer.ts';
import { caption } from './caption.ts';
import { chat, chatOr } from './chat.ts';
import { classify } from './classify.ts';
import { compareSentences, embed } from './embed.ts';
import { inferTask } from './infer.ts';
import { inferenceRoute, type Task } from './task.ts';

type Described = Pick<Route, 'operationId' | 'summary' | 'description' | 'request' | 'reply'> & {
  query?: NonNullable<Route['parameters']['query']>;
};

const common = {
  method: 'POST',
  tag: 'huggingface',
  errors: 'hugging-face',
} as const;

/** What can be wrong with a task: all that can be with a conversation, and that there is no model for it. */
const PROBLEMS: readonly ProblemSlug[] = [...CONVERSATION, 'no-retrieval-model'];

/** Paths of a task: alone, and with the name of the model behind it. */
function taskRoutes(
  path: string,
  task: Task,
  { query, operationId, description, ...described }: Described,
): Route[] {
  const route = {
    ...common,
    ...described,
    handler: inferenceRoute(() => task),
    headers: ['cache-control'] as const,
    problems: PROBLEMS,
  };
  const header = task === caption || task === answer ? TextHeaders : BodyHeaders;
  const parameters = { ...(query && { query }), header };
  return [
    { ...route, path, operationId, description, parameters },
    {
      ...route,
      path: `${path}/{id}`,
      operationId: `${operationId}ByModel`,
      description: `${description} The path names the model.`,
      parameters: { path: OpenAiModelPath, ...parameters },
    },
  ];
}

const IMAGE_BODY =
  'The body is the image itself, under any type or none, with parameters in the query; or JSON. Errors are never 503, which that client sends again without end.';

/** Paths that begin with a model's. */
const onModel = chatOr(inferenceRoute(inferTask));

const chatRoute = {
  ...common,
  summary: 'Reply to a conversation about an image',
  request: { json: 'ChatCompletionRequest' },
  reply: { 'application/json': ['ChatCompletion'], 'text/event-stream': 'chat-events' },
  headers: ['cache-control'],
  problems: OFFERED_PROBLEMS,
} as const;
const CHAT = `${OFFERED} \`model\` may be left out, or be what that client writes in its place.`;

export const HUGGING_FACE_ROUTES: readonly Route[] = [
  {
    ...chatRoute,
    path: '/hf/v1/chat/completions',
    handler: chat,
    operationId: 'chatOnHuggingFace',
    description: CHAT,
    parameters: { header: TextHeaders },
  },
  {
    ...chatRoute,
    path: '/hf/models/{id}/v1/chat/completions',
    handler: onModel,
    operationId: 'chatOnHuggingFaceByModel',
    description: `${CHAT} The path names the model.`,
    parameters: { path: OpenAiModelPath, header: TextHeaders },
  },
  ...taskRoutes('/hf/image-to-text', caption, {
    operationId: 'captionOnHuggingFace',
    summary: 'Caption an image',
    description: `${IMAGE_BODY} Clients of Python get a list.`,
    query: ImageToTextOptions,
    request: { json: 'ImageToTextRequest', orImage: true },
    reply: { 'application/json': ['ImageToTextReply', 'ImageToTextList'] },
  }),
  ...taskRoutes('/hf/visual-question-answering', answer, {
    operationId: 'answerOnHuggingFace',
    summary: 'Answer a question about an image',
    description: 'Each answer has the probability of its tokens.',
    query: AnsweringParameters,
    request: { json: 'VisualQuestionAnsweringRequest' },
    reply: { 'application/json': ['VisualQuestionAnsweringReply'] },
  }),
  ...taskRoutes('/hf/zero-shot-image-classification', classify, {
    operationId: 'classifyOnHuggingFace',
    summary: 'Tell which label fits an image',
    description: `The scores are ITM’s probabilities that each label matches, as parts of 1. ${IMAGE_BODY}`,
    query: ZeroShotParameters,
    request: { json: 'ZeroShotRequest', orImage: true },
    reply: { 'application/json': ['ZeroShotReply'] },
  }),
  ...taskRoutes('/hf/feature-extraction', embed, {
    operationId: 'embedOnHuggingFace',
    summary: 'Embed texts, or an image',
    description: `ITC’s unit vectors, which compare by their dot product. ${IMAGE_BODY}`,
    query: EmbeddingParameters,
    request: { json: 'FeatureExtractionRequest', orImage: true },
    reply: { 'application/json': ['FeatureExtractionReply'] },
  }),
  ...taskRoutes('/hf/sentence-similarity', compareSentences, {
    operationId: 'compareOnHuggingFace',
    summary: 'Compare sentences',
    description: 'The cosines of the embeddings of sentences with that of one.',
    request: { json: 'SentenceSimilarityRequest' },
    reply: { 'application/json': ['SentenceSimilarityReply'] },
  }),
  {
    ...common,
    path: '/hf/models/{id}',
    handler: onModel,
    operationId: 'inferOnHuggingFace',
    summary: 'Do what the request looks like',
    description: `An image is captioned, a question answered, labels are compared, sentences too, and any other text is embedded. ${IMAGE_BODY}`,
    parameters: { path: OpenAiModelPath, header: BodyHeaders },
    request: {
      json: 'ImageToTextRequest',
      otherJson: [
        'VisualQuestionAnsweringRequest',
        'ZeroShotRequest',
        'FeatureExtractionRequest',
        'SentenceSimilarityRequest',
      ],
      orImage: true,
    },
    reply: {
      'application/json': [
        'ImageToTextReply',
        'ImageToTextList',
        'VisualQuestionAnsweringReply',
        'ZeroShotReply',
        'FeatureExtractionReply',
        'SentenceSimilarityReply',
      ],
    },
    headers: ['cache-control'],
    problems: PROBLEMS,
  },
];
