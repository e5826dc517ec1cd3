/** Examples of requests and replies in OpenAI's form: what the embedded model says of an image of the repository. */
import type * as z from 'zod/mini';
import type { SCHEMAS } from './schemas.ts';

/** By name. */
export type Examples<Value> = Record<string, { summary: string; value: Value }>;

type Input<Name extends keyof typeof SCHEMAS> = z.input<(typeof SCHEMAS)[Name]>;
type ExamplesOf<Name extends keyof typeof SCHEMAS> = { [N in Name]: Examples<Input<N>> };

/** An image that was sent before: its bytes would be a long `data:` URL. */
const url = 'f4112ab67441c8c64f31bf11d8bb81a051ae8e292af3bca8e4862cd950ecf70f';
const model = 'blip2-scenes';
const created = 1_795_600_000;
const question = 'what is above the octopus?';
const answer = 'a pizza';
const usage = { prompt_tokens: 41, completion_tokens: 3, total_tokens: 44 };

const head = { id: 'chatcmpl-7f1c2a30', created, model, system_fingerprint: 'fp_9edfeaa7ec69' };

const opened: Input<'ResponseObject'> = {
  id: 'resp_7f1c2a30',
  object: 'response',
  created_at: created,
  status: 'in_progress',
  background: false,
  error: null,
  incomplete_details: null,
  instructions: null,
  max_output_tokens: null,
  model,
  output: [],
  parallel_tool_calls: true,
  previous_response_id: null,
  reasoning: { effort: null, summary: null },
  service_tier: 'default',
  store: false,
  temperature: 0,
  top_p: 1,
  text: { format: { type: 'text' } },
  tool_choice: 'auto',
  tools: [],
  top_logprobs: 0,
  truncation: 'disabled',
  usage: null,
  user: null,
  metadata: {},
  access_programs: null,
};
const message = { id: 'msg_7f1c2a30', type: 'message', role: 'assistant' } as const;
const part = { type: 'output_text', text: answer, annotations: [] } as const;
const outputMessage: Input<'ResponseObject'>['output'][number] = {
  ...message,
  status: 'completed',
  content: [{ ...part, annotations: [] }],
};
const response: Input<'ResponseObject'> = {
  ...opened,
  status: 'completed',
  output: [outputMessage],
  usage: {
    input_tokens: 41,
    input_tokens_details: { cached_tokens: 0 },
    output_tokens: 3,
    output_tokens_details: { reasoning_tokens: 0 },
    total_tokens: 44,
  },
};

export const OPENAI_EXAMPLES: ExamplesOf<
  | 'ChatCompletion'
  | 'ChatCompletionRequest'
  | 'OpenAiEmbeddingsReply'
  | 'OpenAiEmbeddingsRequest'
  | 'OpenAiError'
  | 'OpenAiModel'
  | 'OpenAiModelList'
  | 'ResponseObject'
  | 'ResponseRequest'
> = {
  ChatCompletionRequest: {
    question: {
      summary: 'A question about an image',
      value: {
        model,
        messages: [
          {
            role: 'user',
            content: [
              { type: 'text', text: question },
              { type: 'image_url', image_url: { url } },
            ],
          },
        ],
        max_tokens: 20,
      },
    },
    caption: {
      summary: 'A caption, of a search with four beams',
      value: {
        model,
        messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url } }] }],
        num_beams: 4,
      },
    },
  },
  ChatCompletion: {
    answer: {
      summary: 'An answer',
      value: {
        ...head,
        object: 'chat.completion',
        choices: [
          {
            index: 0,
            message: { role: 'assistant', content: answer, refusal: null },
            logprobs: null,
            finish_reason: 'stop',
          },
        ],
        usage,
      },
    },
  },
  ResponseRequest: {
    question: {
      summary: 'A question about an image',
      value: {
        model,
        input: [
          {
            role: 'user',
            content: [
              { type: 'input_text', text: question },
              { type: 'input_image', image_url: url },
            ],
          },
        ],
      },
    },
  },
  ResponseObject: { answer: { summary: 'An answer', value: response } },
  OpenAiEmbeddingsRequest: {
    openai: {
      summary: 'Embeddings of two texts, as OpenAI’s clients ask for them',
      value: { model, input: ['a pizza above an octopus', 'an octopus above a pizza'] },
    },
  },
  OpenAiEmbeddingsReply: {
    openai: {
      summary: 'Embeddings of a text, shortened: their width is 64',
      value: {
        object: 'list',
        data: [{ object: 'embedding', index: 0, embedding: [0.6, 0.8, 0] }],
        model,
        usage: { prompt_tokens: 8, total_tokens: 8 },
      },
    },
  },
  OpenAiModel: {
    model: {
      summary: 'A model',
      value: { id: model, object: 'model', created: 0, owned_by: 'blip2' },
    },
  },
  OpenAiModelList: {
    models: {
      summary: 'One model',
      value: {
        object: 'list',
        data: [{ id: model, object: 'model', created: 0, owned_by: 'blip2' }],
      },
    },
  },
  OpenAiError: {
    openai: {
      summary: 'In OpenAI’s form',
      value: {
        error: {
          message: 'model: is required.',
          type: 'invalid_request_error',
          param: 'model',
          code: 'invalid_request',
        },
      },
    },
  },
};

function chatStream(): string {
  const base = { ...head, object: 'chat.completion.chunk' } as const;
  const chunks: Input<'ChatCompletionChunk'>[] = [
    ...[{ role: 'assistant', content: '' } as const, { content: 'a' }, { content: ' pizza' }].map(
      (delta) => ({
        ...base,
        choices: [{ index: 0, delta, logprobs: null, finish_reason: null }],
      }),
    ),
    {
      ...base,
      choices: [{ index: 0, delta: {}, logprobs: null, finish_reason: 'stop' }],
      usage,
    },
  ];
  const events = [...chunks.map((chunk) => JSON.stringify(chunk)), '[DONE]'];
  return `: ok\n\n${events.map((data) => `data: ${data}\n\n`).join('')}`;
}

type Numbered<Event> = Event extends unknown ? Omit<Event, 'sequence_number'> : never;

function responseStream(): string {
  const item_id = message.id;
  const [output_index, content_index] = [0, 0] as const;
  const place = { item_id, output_index, content_index };
  const emptyPart = { ...part, text: '', annotations: [] };
  const whole = { ...part, annotations: [] };
  const events: Numbered<Input<'ResponseStreamEvent'>>[] = [
    { type: 'response.created', response: opened },
    { type: 'response.in_progress', response: opened },
    {
      type: 'response.output_item.added',
      output_index,
      item: { ...message, status: 'in_progress', content: [] },
    },
    { type: 'response.content_part.added', ...place, part: emptyPart },
    { type: 'response.output_text.delta', ...place, delta: answer, logprobs: [] },
    { type: 'response.output_text.done', ...place, text: answer, logprobs: [] },
    { type: 'response.content_part.done', ...place, part: whole },
    { type: 'response.output_item.done', output_index, item: outputMessage },
    { type: 'response.completed', response },
  ];
  const lines = events.map(({ type, ...members }, sequence_number) => {
    const data = JSON.stringify({ type, sequence_number, ...members });
    return `event: ${type}\ndata: ${data}\n\n`;
  });
  return `: ok\n\n${lines.join('')}`;
}

export const OPENAI_EVENT_EXAMPLES: Record<'chat-events' | 'response-events', Examples<string>> = {
  'chat-events': { openai: { summary: 'Written to its end', value: chatStream() } },
  'response-events': { openai: { summary: 'Written to its end', value: responseStream() } },
};
