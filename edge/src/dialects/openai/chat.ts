/** `POST /v1/chat/completions`: a conversation about an image. */
import {
  type ChatCompletion,
  ChatCompletionRequest,
  type ChatPart,
} from '@blip2/shared/schemas/openai/chat';
import { validate } from '@blip2/shared/validate';
import type { Dependencies } from '../../dependencies.ts';
import { wholeOf } from '../../generation/begin-generation.ts';
import { readJsonObject } from '../../http/request-body.ts';
import {
  type AppContext,
  type Handler,
  readingOf,
  requestContextOf,
} from '../../routes/app-context.ts';
import { holdWritten, writtenJson } from '../../routes/large-reply.ts';
import { expectContent, isCallAlone, type Message, readConversation } from '../conversation.ts';
import { expectModel } from '../model-ids.ts';
import { refuse } from '../refuse.ts';
import { streamReply } from '../stream-reply.ts';
import { generationOptionsOf, ONLY_TEXT, refuseUnsupported } from '../text-request.ts';
import { prepareReply } from '../write-reply.ts';
import { type CompletionHead, chatChunks, toChoice } from './chat-chunks.ts';
import { imageOfPart, imageSourceOf } from './image-parts.ts';

export const createChatCompletion: Handler = async (c, deps) =>
  await completeChat(c, deps, await readJsonObject(c.req.raw, readingOf(c, deps)));

/** The reply to a body that has been read. */
export async function completeChat(
  c: AppContext,
  deps: Dependencies,
  members: Readonly<Record<string, unknown>>,
): Promise<Response> {
  const canceled = new AbortController();
  const context = requestContextOf(c, deps, canceled.signal);
  const body = validate(ChatCompletionRequest, members);
  const model = deps.models.generate;
  expectModel(deps.models, body.model, 'generate');
  refuseFormats(body);
  const conversation = readConversation(body.messages.flatMap(toMessages), 'messages');
  const options = generationOptionsOf(body);
  const reply = prepareReply(deps, {
    conversation,
    options,
    field: 'messages',
    imageSource: async (image) => await imageSourceOf(c, deps, image),
  });
  if (body.stream === true) context.account?.stream();
  const deltas = await reply.begin(context);
  const head: CompletionHead = {
    id: `chatcmpl-${context.requestId}`,
    created: Math.floor(c.get('startedAt') / 1000),
    model: model.name,
    system_fingerprint: `fp_${model.revision.slice(0, 12)}`,
  };
  if (body.stream === true) {
    const hasUsageChunk = body.stream_options?.include_usage === true;
    const form = chatChunks(head, model, { n: reply.generation.n, hasUsageChunk });
    const reading = holdWritten(c, deps, reply.generation);
    return await streamReply(deltas, form, () => canceled.abort(), { reading });
  }
  const { usage, choices, warnings, ...only } = await wholeOf(deltas);
  const completion: ChatCompletion = {
    ...head,
    object: 'chat.completion',
    choices: (choices ?? [only]).map((choice, index) => toChoice(model, choice, index)),
    usage,
    ...(warnings && { warnings }),
  };
  const written = { generation: reply.generation, usage };
  return await writtenJson(c, deps, completion, written, { 'cache-control': 'no-store' });
}

function refuseFormats(body: ChatCompletionRequest): void {
  const { response_format, modalities = [], logit_bias = {}, reasoning_effort, verbosity } = body;
  refuseUnsupported(body);
  refuse('response_format', (response_format?.type ?? 'text') !== 'text', ONLY_TEXT);
  refuse(
    'modalities',
    modalities.some((form) => form !== 'text'),
    'only text is written',
  );
  refuse('logit_bias', Object.keys(logit_bias).length > 0, 'no bias can be given: leave it out');
  refuse('reasoning_effort', (reasoning_effort ?? 'none') !== 'none', 'this model does not reason');
  refuse('verbosity', (verbosity ?? 'medium') !== 'medium', 'use max_tokens or length_penalty');
}

const ROLES = {
  system: 'system',
  developer: 'system',
  user: 'user',
  assistant: 'assistant',
  tool: 'tool',
  function: 'tool',
} as const;

/** None for what the model has not said: that it called a tool. */
function toMessages(sent: ChatCompletionRequest['messages'][number], at: number): Message[] {
  const { role, content, refusal, tool_calls, function_call } = sent;
  const parts: ChatPart[] =
    typeof content === 'string' ? [{ type: 'text', text: content }] : (content ?? []);
  const message: Message = {
    role: ROLES[role],
    text: parts.map(textOf).filter(Boolean).join(' ') || (refusal ?? ''),
    images: parts.flatMap((part, index) => {
      const place = `messages.${at}.content.${index}`;
      if (part.type === 'file') {
        const { file_id, file_data } = part.file;
        return [imageOfPart({ file_id, file_data }, `${place}.file`)];
      }
      if (part.type !== 'image_url') return [];
      const field = `${place}.image_url`;
      const { image_url } = part;
      return typeof image_url === 'string'
        ? [{ url: image_url, field }]
        : [{ url: image_url.url, field: `${field}.url` }];
    }),
  };
  expectContent(message, content, `messages.${at}`);
  const calls = [...(tool_calls ?? []), ...(function_call ? [function_call] : [])];
  return isCallAlone(message, calls) ? [] : [message];
}

function textOf(part: ChatPart): string {
  switch (part.type) {
    case 'text':
      return part.text;
    case 'refusal':
      return part.refusal;
    case 'image_url':
    case 'file':
      return '';
  }
}
