/** The events of a streamed response: one message with one text, all under the same ids, numbered in one row. */
import { ApiError } from '@blip2/shared/errors';
import type {
  OutputMessage,
  ResponseObject,
  ResponseStreamEvent,
} from '@blip2/shared/schemas/openai/responses';
import { toOpenAiLogprobs } from '../logprobs.ts';
import type { StreamForm } from '../stream-reply.ts';
import type { Written } from '../write-reply.ts';
import { openAiError } from './errors.ts';
import { endedResponse, type ResponseSubject } from './response-object.ts';

type Numbered<Event> = Event extends unknown ? Omit<Event, 'sequence_number'> : never;

/**
 * @param opened the response in progress
 * @param onWritten gets the whole before its last event is sent
 */
export function responseEvents(
  opened: ResponseObject,
  subject: ResponseSubject,
  onWritten: (written: Written) => void,
): StreamForm {
  const { model, messageId: item_id } = subject;
  let count = 0;
  const encode = (...events: Numbered<ResponseStreamEvent>[]): string =>
    events
      .map((event) => {
        const { type, ...members } = event;
        const data = { type, sequence_number: count++, ...members };
        return `event: ${type}\ndata: ${JSON.stringify(data)}\n\n`;
      })
      .join('');
  const output_index = 0;
  const place = { item_id, output_index, content_index: 0 } as const;
  let isOpen = false;
  let sentLogprobs = 0;

  /** The message and its text, before their first delta. */
  const open = (): string => {
    if (isOpen) return '';
    isOpen = true;
    const item: OutputMessage = {
      id: item_id,
      type: 'message',
      role: 'assistant',
      status: 'in_progress',
      content: [],
    };
    const part = { type: 'output_text', text: '', annotations: [] } as const;
    return encode(
      { type: 'response.output_item.added', output_index, item },
      { type: 'response.content_part.added', ...place, part: { ...part, annotations: [] } },
    );
  };

  const end = (written: Written): string => {
    onWritten(written);
    const response = endedResponse(opened, subject, written);
    const [item] = response.output;
    const [part] = item?.content ?? [];
    if (item === undefined || part === undefined) throw new Error('a response without its text');
    const { text, logprobs = [] } = part;
    // Tokens without text, and the end, have come with no delta.
    const rest = logprobs.slice(sentLogprobs);
    const late =
      rest.length === 0
        ? ''
        : encode({ type: 'response.output_text.delta', ...place, delta: '', logprobs: rest });
    const type = response.status === 'completed' ? 'response.completed' : 'response.incomplete';
    return (
      late +
      encode(
        { type: 'response.output_text.done', ...place, text, logprobs },
        { type: 'response.content_part.done', ...place, part },
        { type: 'response.output_item.done', output_index, item },
        { type, response },
      )
    );
  };

  return {
    begin: () =>
      encode(
        { type: 'response.created', response: opened },
        { type: 'response.in_progress', response: opened },
      ),
    write: (delta) => {
      switch (delta.type) {
        case 'image':
          return open();
        case 'delta': {
          const logprobs = toOpenAiLogprobs(model, delta.logprobs ?? []);
          sentLogprobs += logprobs.length;
          const type = 'response.output_text.delta';
          return open() + encode({ type, ...place, delta: delta.text, logprobs });
        }
        case 'done':
          return open() + end(delta.generation);
      }
    },
    fail: (thrown) => {
      const { code, message } = openAiError(ApiError.from(thrown));
      const response: ResponseObject = { ...opened, status: 'failed', error: { code, message } };
      // The last one whenever it is sent, which is not known here: it may be made before others, for the case that we break.
      const number = count;
      const event = encode({ type: 'response.failed', response });
      count = number;
      return event;
    },
  };
}
