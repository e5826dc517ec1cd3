/** `POST /v1/responses`. */
import * as z from 'zod/mini';
import { generationParameterOptions } from '../../wire.ts';
import { described } from '../described.ts';
import { closed, open, type Places, words } from '../places.ts';
import { ChatTokenLogprob } from './chat.ts';
import { OpenAiError } from './error.ts';
import { modelId } from './models.ts';
import { accepted, textOptions, toolChoice } from './options.ts';

const UPLOADED =
  'id of a file that was uploaded to `/v1/files` with the purpose `vision` or `user_data`.';

const IMAGE_PART = '{type: "input_image", image_url}';

/** Of a part: it has one image or one text. */
const inPart: Places = {
  image: `send the image as ${IMAGE_PART}`,
  text: 'send the text in a part of its own, {type: "input_text", text}',
};
const text = described(words(inPart), 'The text.', 'what is above the octopus?');

const inMessage: Places = {
  image: `put the image into content, as ${IMAGE_PART}`,
  text: 'put the text into content',
};
const inOutput: Places = {
  image: `put the image into output, as ${IMAGE_PART}`,
  text: 'put the text into output',
};
const inRequest: Places = {
  image: `put the image into the content of a message of input, as ${IMAGE_PART}`,
  text: 'put the text into input',
};

const Part = z.discriminatedUnion(
  'type',
  [
    open(
      {
        type: described(z.enum(['input_text', 'output_text', 'text']), 'A text.'),
        text,
      },
      inPart,
    ),
    open(
      {
        type: described(z.literal('input_image'), 'An image.'),
        image_url: described(
          z.optional(z.nullable(z.string())),
          'The image: a `data:` URL, an http(s) URL, or the SHA-256 of one that was sent before.',
          'https://images.example.org/pizza-and-octopus.webp',
        ),
        file_id: described(z.optional(z.nullable(z.string())), `In place of it: ${UPLOADED}`),
        detail: described(
          z.optional(z.string()),
          'Accepted: the model sees every image in one size.',
          'auto',
        ),
      },
      inPart,
    ),
    open(
      {
        type: described(z.literal('input_file'), 'An image that is a file.'),
        file_id: described(z.optional(z.nullable(z.string())), `One of three: ${UPLOADED}`),
        file_data: described(
          z.optional(z.nullable(z.string())),
          'One of three: a `data:` URL, or base64.',
        ),
        file_url: described(z.optional(z.nullable(z.string())), 'One of three: an http(s) URL.'),
        filename: described(z.optional(z.nullable(z.string())), 'Accepted and not read.'),
      },
      inPart,
    ),
    open(
      {
        type: described(z.literal('refusal'), 'An earlier reply that refused.'),
        refusal: text,
      },
      inPart,
    ),
  ],
  {
    error:
      'must be {type: "input_text", text}, {type: "input_image", image_url} or {type: "input_image", file_id}',
  },
);
export type ResponsePart = z.infer<typeof Part>;

const Item = z.discriminatedUnion('type', [
  open(
    {
      type: described(z.optional(z.literal('message')), 'A message.'),
      role: described(
        z.enum(['system', 'developer', 'user', 'assistant']),
        'Whose message it is.',
        'user',
      ),
      content: described(
        z.union([words(inMessage), z.array(Part)]),
        'The message: a text, or texts and an image.',
        'what is above the octopus?',
      ),
    },
    inMessage,
  ),
  open(
    {
      type: described(
        z.literal('item_reference'),
        'An earlier reply of the last hour, by the id of its message.',
      ),
      id: described(z.string(), 'Id of the message.', 'msg_7f1c2a30'),
    },
    inRequest,
  ),
  z.looseObject({
    type: described(
      z.enum(['reasoning', 'function_call', 'custom_tool_call']),
      'The reasoning of another model, or a tool that it called: it is no text, and not read.',
    ),
  }),
  open(
    {
      type: described(
        z.enum(['function_call_output', 'custom_tool_call_output']),
        'What a tool replied: it is read as if the user had said it.',
      ),
      output: described(z.union([z.string(), z.array(Part)]), 'The reply.', '{"weather": "rain"}'),
    },
    inOutput,
  ),
]);
export type ResponseItem = z.infer<typeof Item>;

const {
  max_tokens: _max,
  max_completion_tokens: _completion,
  max_new_tokens: _new,
  num_return_sequences: _n,
  ...options
} = textOptions;

export const ResponseRequest = described(
  closed(
    {
      model: modelId,
      input: described(
        z.union([words(inRequest), z.array(Item).check(z.minLength(1), z.maxLength(256))]),
        'A text, or the conversation, oldest message first; the last is the user’s. The image may be in any; the latest counts.',
      ),
      instructions: described(
        z.optional(z.string()),
        'What the model reads before the conversation.',
        'Answer in one word.',
      ),
      ...options,
      max_output_tokens: described(
        generationParameterOptions.max_tokens,
        'Most tokens to generate.',
        30,
      ),
      top_logprobs: generationParameterOptions.top_logprobs,
      include: described(
        z.optional(z.array(z.string())),
        '`message.output_text.logprobs` adds log-probabilities; the rest has nothing to add.',
        ['message.output_text.logprobs'],
      ),
      stream_options: described(z.optional(z.looseObject({})), 'Accepted and not read.'),
      ...accepted,
      tool_choice: toolChoice,
      text: described(
        z.optional(
          z.object({
            format: described(
              z.optional(z.looseObject({ type: described(z.string(), 'The form.', 'text') })),
              '`text` is the only one.',
            ),
            verbosity: described(z.optional(z.string()), '`medium` is the only one.', 'medium'),
          }),
        ),
        'The form of the text.',
      ),
      truncation: described(
        z.optional(z.enum(['auto', 'disabled'])),
        '`auto` leaves out the oldest turns where the conversation is too long, which is else an error.',
        'disabled',
      ),
      reasoning: described(
        z.optional(z.looseObject({})),
        'No effort but `none`: the model does not reason.',
      ),
      background: described(z.optional(z.boolean()), '`false`: nothing is stored.', false),
      previous_response_id: described(
        z.optional(z.string()),
        'Refused: nothing is stored; send the conversation in `input`.',
      ),
      conversation: described(
        z.optional(z.union([z.string(), z.looseObject({})])),
        'Refused: nothing is stored; send the conversation in `input`.',
      ),
      max_tool_calls: described(z.optional(z.int()), 'Accepted: no tool is called.'),
    },
    inRequest,
  ),
  'A conversation about an image, as clients of OpenAI’s Responses send it, with our own options beside theirs.',
);
export type ResponseRequest = z.infer<typeof ResponseRequest>;

const status = z.enum(['in_progress', 'completed', 'incomplete', 'failed']);

const OutputText = described(
  z.object({
    type: described(z.literal('output_text'), 'Always `output_text`.'),
    text: described(z.string(), 'The text.', 'a pizza'),
    annotations: described(z.array(z.unknown()), 'Always empty.'),
    logprobs: described(
      z.optional(z.array(ChatTokenLogprob)),
      'The tokens, where `include` asks for their log-probabilities.',
    ),
  }),
  'A text.',
);

const OutputMessage = described(
  z.object({
    id: described(z.string(), 'Id of the message.', 'msg_7f1c2a30'),
    type: described(z.literal('message'), 'Always `message`.'),
    role: described(z.literal('assistant'), 'Always `assistant`.'),
    status: described(status, 'How far it is.', 'completed'),
    content: described(z.array(OutputText), 'The text.'),
  }),
  'The message of the model.',
);
export type OutputMessage = z.infer<typeof OutputMessage>;

const count = (words: string, example: number) => described(z.int(), words, example);

export const ResponseUsage = described(
  z.object({
    input_tokens: count(
      'Positions of the prompt: those of the image, and the tokens of the text.',
      43,
    ),
    input_tokens_details: described(
      z.object({ cached_tokens: count('Always 0: none are cheaper.', 0) }),
      'Of these.',
    ),
    output_tokens: count('Tokens that were generated.', 5),
    output_tokens_details: described(
      z.object({ reasoning_tokens: count('Always 0: the model does not reason.', 0) }),
      'Of these.',
    ),
    total_tokens: count('The sum of both.', 48),
  }),
  'What the request took of the context.',
);
export type ResponseUsage = z.infer<typeof ResponseUsage>;

export const ResponseObject = described(
  z.object({
    id: described(z.string(), 'Id of the response; it is not stored.', 'resp_7f1c2a30'),
    object: described(z.literal('response'), 'Always `response`.'),
    created_at: described(z.int(), 'Seconds since 1970.', 1_795_600_000),
    status: described(status, 'How far it is.', 'completed'),
    background: described(z.literal(false), 'Always false.'),
    error: described(
      z.nullable(
        z.object({
          code: OpenAiError.shape.error.shape.code,
          message: OpenAiError.shape.error.shape.message,
        }),
      ),
      'Why it failed.',
    ),
    incomplete_details: described(
      z.nullable(
        z.object({ reason: described(z.literal('max_output_tokens'), 'Why it is not complete.') }),
      ),
      'Why it is not complete: the text ended at `max_output_tokens` or at the end of the context.',
    ),
    instructions: described(z.nullable(z.string()), 'As they were sent.'),
    max_output_tokens: described(z.nullable(z.int()), 'As it was sent.', 30),
    model: described(z.string(), 'Name of the model that writes the text.', 'blip2-scenes'),
    output: described(z.array(OutputMessage), 'The message, once there is one.'),
    parallel_tool_calls: described(z.boolean(), 'No tool is called.'),
    previous_response_id: described(z.null(), 'Always null.'),
    reasoning: described(
      z.object({
        effort: described(z.null(), 'Always null.'),
        summary: described(z.null(), 'Always null.'),
      }),
      'None.',
    ),
    service_tier: described(z.literal('default'), 'Always `default`.'),
    store: described(z.literal(false), 'Always false: nothing is stored.'),
    temperature: described(z.number(), 'With which the text is written.', 0),
    top_p: described(z.number(), 'With which the text is written.', 1),
    text: described(
      z.object({
        format: described(
          z.object({ type: described(z.literal('text'), 'Always `text`.') }),
          'Its form.',
        ),
      }),
      'The form of the text.',
    ),
    tool_choice: described(z.string(), 'No tool is called.', 'auto'),
    tools: described(z.array(z.unknown()), 'Always empty.'),
    top_logprobs: described(z.int(), 'As it was sent.', 0),
    truncation: described(z.enum(['auto', 'disabled']), 'As it was sent.', 'disabled'),
    usage: described(z.nullable(ResponseUsage), 'Once it has ended.'),
    user: described(z.nullable(z.string()), 'As it was sent.'),
    metadata: described(z.record(z.string(), z.unknown()), 'As it was sent.'),
    access_programs: described(z.null(), 'Always null.'),
  }),
  'A response.',
);
export type ResponseObject = z.infer<typeof ResponseObject>;

const sequence_number = described(z.int(), 'Number of the event, from 0.', 4);
const item_id = described(z.string(), 'Id of the message.', 'msg_7f1c2a30');
const output_index = described(z.literal(0), 'Always 0.');
const content_index = described(z.literal(0), 'Always 0.');
const logprobs = described(z.array(ChatTokenLogprob), 'The tokens, where they were asked for.');
const place = { item_id, output_index, content_index };

const event = <Type extends string, Shape extends z.core.$ZodShape>(type: Type, shape: Shape) =>
  z.object({
    type: described(z.literal(type), 'Name of the event, its line `event:` too.'),
    sequence_number,
    ...shape,
  });

export const ResponseStreamEvent = described(
  z.discriminatedUnion('type', [
    event('response.created', { response: ResponseObject }),
    event('response.in_progress', { response: ResponseObject }),
    event('response.output_item.added', { output_index, item: OutputMessage }),
    event('response.content_part.added', { ...place, part: OutputText }),
    event('response.output_text.delta', {
      ...place,
      delta: described(z.string(), 'The next characters.', ' octopus'),
      logprobs,
    }),
    event('response.output_text.done', {
      ...place,
      text: described(z.string(), 'The whole text.', 'a pizza'),
      logprobs,
    }),
    event('response.content_part.done', { ...place, part: OutputText }),
    event('response.output_item.done', { output_index, item: OutputMessage }),
    event('response.completed', { response: ResponseObject }),
    event('response.incomplete', { response: ResponseObject }),
    event('response.failed', { response: ResponseObject }),
  ]),
  'An event of a stream. The last is `response.completed`, `response.incomplete` or `response.failed`.',
);
export type ResponseStreamEvent = z.infer<typeof ResponseStreamEvent>;
