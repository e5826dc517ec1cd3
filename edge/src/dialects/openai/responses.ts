/** `POST /v1/responses`: a conversation about an image; nothing is stored. */
import {
  type ResponseItem,
  type ResponsePart,
  ResponseRequest,
} from '@blip2/shared/schemas/openai/responses';
import { wholeOf } from '../../generation/begin-generation.ts';
import { readJsonObject } from '../../http/request-body.ts';
import { validate } from '../../http/validate.ts';
import { type Handler, requestContextOf } from '../../routes/app-context.ts';
import { type Message, readConversation } from '../conversation.ts';
import { expectModel } from '../model-ids.ts';
import { prepareReply } from '../write-reply.ts';
import { responseEvents } from './response-events.ts';
import { endedResponse, openedResponse } from './response-object.ts';
import { streamReply } from './stream.ts';
import { generationOptionsOf, ONLY_TEXT, refuse, refuseUnsupported } from './text-request.ts';

const SCORED = 'message.output_text.logprobs';

export const createResponse: Handler = async (c, deps) => {
  const canceled = new AbortController();
  const context = requestContextOf(c, deps, canceled.signal);
  const body = validate(ResponseRequest, await readJsonObject(c.req.raw, deps.config));
  const model = deps.models.generate;
  expectModel(deps.models, body.model, 'generate');
  refuseFormats(body);
  const conversation = readConversation(messagesOf(body), 'input');
  const logprobs = body.include?.includes(SCORED) === true || (body.top_logprobs ?? 0) > 0;
  const options = generationOptionsOf({ ...body, max_tokens: body.max_output_tokens, logprobs });
  const mayTruncate = body.truncation === 'auto';
  const reply = prepareReply(deps, { conversation, options, field: 'input', mayTruncate });
  const deltas = await reply.begin(context);
  const response = openedResponse(body, {
    id: context.requestId,
    createdAt: Math.floor(c.get('startedAt') / 1000),
    model: model.name,
    generation: reply.generation,
  });
  if (body.stream === true) {
    return await streamReply(deltas, responseEvents(response, model), () => canceled.abort());
  }
  const ended = endedResponse(response, model, await wholeOf(deltas));
  return c.json(ended, 200, { 'cache-control': 'no-store' });
};

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

function messagesOf({ input, instructions }: ResponseRequest): Message[] {
  const items: ResponseItem[] =
    typeof input === 'string' ? [{ role: 'user', content: input }] : input;
  const messages = items.flatMap((item, at) => toMessage(item, at));
  if (instructions === undefined) return messages;
  return [{ role: 'system', text: instructions, images: [] }, ...messages];
}

function toMessage(item: ResponseItem, at: number): Message[] {
  if (item.type === 'reasoning') return [];
  const { role, content } = item as Exclude<ResponseItem, { type: 'reasoning' }>;
  const parts: ResponsePart[] =
    typeof content === 'string' ? [{ type: 'input_text', text: content }] : content;
  const images = parts.flatMap((part, index) =>
    part.type === 'input_image'
      ? [{ url: part.image_url, field: `input.${at}.content.${index}.image_url` }]
      : [],
  );
  const text = parts.map(textOf).filter(Boolean).join(' ');
  return [{ role: role === 'developer' ? 'system' : role, text, images }];
}

function textOf(part: ResponsePart): string {
  switch (part.type) {
    case 'refusal':
      return part.refusal;
    case 'input_image':
      return '';
    default:
      return part.text;
  }
}
