/** `POST /v1/responses`: a conversation about an image; nothing is stored. */
import { ApiError } from '@blip2/shared/errors';
import {
  type ResponseItem,
  type ResponsePart,
  ResponseRequest,
} from '@blip2/shared/schemas/openai/responses';
import { validate } from '@blip2/shared/validate';
import type { Dependencies } from '../../dependencies.ts';
import { wholeOf } from '../../generation/begin-generation.ts';
import { readJsonObject } from '../../http/request-body.ts';
import type { RequestContext } from '../../request-context.ts';
import { type Handler, readingOf, requestContextOf } from '../../routes/app-context.ts';
import { holdWritten, writtenJson } from '../../routes/large-reply.ts';
import { bulkReads } from '../../turns/bulk-reads.ts';
import { fewAtATime } from '../../turns/few-at-a-time.ts';
import { type Message, readConversation } from '../conversation.ts';
import { expectModel } from '../model-ids.ts';
import { refuse } from '../refuse.ts';
import { streamReply } from '../stream-reply.ts';
import { generationOptionsOf, ONLY_TEXT, refuseUnsupported } from '../text-request.ts';
import { prepareReply, type ReplyDelta, type Written } from '../write-reply.ts';
import { imageOfPart, imageSourceOf } from './image-parts.ts';
import { responseEvents } from './response-events.ts';
import { endedResponse, openedResponse } from './response-object.ts';

const SCORED = 'message.output_text.logprobs';

export const createResponse: Handler = async (c, deps) => {
  const canceled = new AbortController();
  const context = requestContextOf(c, deps, canceled.signal);
  const members = await readJsonObject(c.req.raw, readingOf(c, deps));
  refuseItems(members.input);
  const body = validate(ResponseRequest, members);
  const model = deps.models.generate;
  expectModel(deps.models, body.model, 'generate');
  refuseFormats(body);
  const conversation = readConversation(await messagesOf(body, deps, context), 'input');
  const logprobs = body.include?.includes(SCORED) === true || (body.top_logprobs ?? 0) > 0;
  const options = generationOptionsOf({ ...body, max_tokens: body.max_output_tokens, logprobs });
  const mayTruncate = body.truncation === 'auto';
  const reply = prepareReply(deps, {
    conversation,
    options,
    field: 'input',
    mayTruncate,
    imageSource: async (image) => await imageSourceOf(c, deps, image),
  });
  if (body.stream === true) context.account?.stream();
  let sentAt = context.startedAt;
  const deltas = noting(await reply.begin(context), (time) => {
    sentAt = time;
  });
  const response = openedResponse(body, {
    id: context.requestId,
    createdAt: Math.floor(c.get('startedAt') / 1000),
    model: model.name,
    generation: reply.generation,
  });
  // Random, and not the id of the request: who knows it may refer to the text.
  const subject = { model, messageId: `msg_${crypto.randomUUID()}` };
  const remember = ({ text, image }: Written) => {
    if (body.store === false) return;
    const about = { imageId: image?.sha256 ?? '', sentAt };
    deps.replies.put(subject.messageId, text, about, context);
  };
  if (body.stream === true) {
    const form = responseEvents(response, subject, remember);
    const reading = holdWritten(c, deps, reply.generation);
    return await streamReply(deltas, form, () => canceled.abort(), { reading });
  }
  const written = await wholeOf(deltas);
  remember(written);
  const ended = endedResponse(response, subject, written);
  const made = { generation: reply.generation, usage: written.usage };
  return await writtenJson(c, deps, ended, made, { 'cache-control': 'no-store' });
};

/** The same deltas; `note` gets when the image was sent, before the last. */
async function* noting(
  deltas: AsyncGenerator<ReplyDelta, void, undefined>,
  note: (sentAt: number) => void,
): AsyncGenerator<ReplyDelta, void, undefined> {
  for await (const delta of deltas) {
    if (delta.type === 'done' && delta.sentAt !== undefined) note(delta.sentAt);
    yield delta;
  }
}

const NOT_STORED = 'nothing is stored here: send the whole conversation in input';

function refuseFormats(body: ResponseRequest): void {
  refuseUnsupported(body);
  const effort = body.reasoning?.effort ?? 'none';
  refuse('previous_response_id', body.previous_response_id !== undefined, NOT_STORED);
  refuse('conversation', body.conversation !== undefined, NOT_STORED);
  refuse('background', body.background === true, `${NOT_STORED}, and wait for the reply`);
  refuse('text.format', (body.text?.format?.type ?? 'text') !== 'text', ONLY_TEXT);
  refuse(
    'text.verbosity',
    (body.text?.verbosity ?? 'medium') !== 'medium',
    'use max_output_tokens or length_penalty',
  );
  refuse('reasoning.effort', effort !== 'none', 'this model does not reason');
}

/** @throws ApiError `unsupported-parameter` for an item that is no message: what other models did means nothing to this one */
function refuseItems(input: unknown): void {
  if (!Array.isArray(input)) return;
  for (const [at, item] of input.entries()) {
    const { type } = (item ?? {}) as { type?: unknown };
    const isRead = type === undefined || READ.has(type);
    const what = 'only messages are read, items that refer to one, and results of functions';
    refuse(`input.${at}.type`, !isRead, what);
  }
}

const READ: ReadonlySet<unknown> = new Set([
  'message',
  'item_reference',
  'reasoning',
  'function_call',
  'function_call_output',
  'custom_tool_call',
  'custom_tool_call_output',
]);

async function messagesOf(
  { input, instructions }: ResponseRequest,
  deps: Pick<Dependencies, 'replies'>,
  context: RequestContext,
): Promise<Message[]> {
  const items: ResponseItem[] =
    typeof input === 'string' ? [{ role: 'user', content: input }] : input;
  const read = items.map((item, at) => toMessages(item, `input.${at}`));
  const messages = await fewAtATime(read, async (item, _, ended) =>
    Array.isArray(item) ? item : [await referredTo(item, deps, context, ended)],
  );
  if (instructions === undefined) return messages.flat();
  return [{ role: 'system', text: instructions, images: [] }, ...messages.flat()];
}

type Reference = { id: string; field: string };

function toMessages(item: ResponseItem, field: string): Message[] | Reference {
  switch (item.type) {
    case undefined:
    case 'message': {
      const role = item.role === 'developer' ? 'system' : item.role;
      return [{ role, ...contentOf(item.content, `${field}.content`) }];
    }
    case 'function_call_output':
    case 'custom_tool_call_output':
      return [{ role: 'tool', ...contentOf(item.output, `${field}.output`) }];
    case 'item_reference':
      return { id: item.id, field: `${field}.id` };
    case 'reasoning':
    case 'function_call':
    case 'custom_tool_call':
      return [];
  }
}

/** @throws ApiError `unsupported-parameter` for a reference to what is not remembered */
async function referredTo(
  { id, field }: Reference,
  { replies }: Pick<Dependencies, 'replies'>,
  context: RequestContext,
  ended: AbortSignal,
): Promise<Message> {
  // Hundreds at once would keep the isolate from everybody else.
  const { client = '', signal } = context;
  const find = () => replies.find(id, context);
  const text = await bulkReads.run(client, find, { signal, ended });
  if (text !== null) return { role: 'assistant', text, images: [] };
  const detail = `${field}: this message is not remembered here: send its text. Vercel's AI SDK does so with store: false.`;
  throw new ApiError('unsupported-parameter', detail, { field });
}

function contentOf(content: string | ResponsePart[], field: string): Omit<Message, 'role'> {
  const parts: ResponsePart[] =
    typeof content === 'string' ? [{ type: 'input_text', text: content }] : content;
  const images = parts.flatMap((part, index) => {
    const place = `${field}.${index}`;
    if (part.type === 'input_image') {
      const { image_url, file_id } = part;
      return [imageOfPart({ image_url, file_id }, place)];
    }
    if (part.type !== 'input_file') return [];
    const { file_id, file_data, file_url } = part;
    return [imageOfPart({ file_id, file_data, file_url }, place)];
  });
  return { text: parts.map(textOf).filter(Boolean).join(' '), images };
}

function textOf(part: ResponsePart): string {
  switch (part.type) {
    case 'refusal':
      return part.refusal;
    case 'input_image':
    case 'input_file':
      return '';
    default:
      return part.text;
  }
}
