/** `POST /v1/chat/completions`. */
import * as z from 'zod/mini';
import { generationParameterOptions } from '../../wire.ts';
import { described } from '../described.ts';
import { generationOptions, Usage, Warnings } from '../generation.ts';
import { closed, open, type Places, words } from '../places.ts';
import { modelId } from './models.ts';
import { accepted, textOptions, toolChoice } from './options.ts';

const imageUrl = described(
  z.string(),
  'The image: a `data:` URL, an http(s) URL, or the SHA-256 of one that was sent before.',
  'https://images.example.org/pizza-and-octopus.webp',
);

const IMAGE_PART = '{type: "image_url", image_url: {url}}';

/** Of a part: it has one image or one text. */
const inPart: Places = {
  image: `send the image as ${IMAGE_PART}`,
  text: 'send the text in a part of its own, {type: "text", text}',
};
const text = described(words(inPart), 'The text.', 'what is above the octopus?');

const inMessage: Places = {
  image: `put the image into content, as ${IMAGE_PART}`,
  text: 'put the text into content',
};
const inRequest: Places = {
  image: `put the image into the content of a message, as ${IMAGE_PART}`,
  text: 'put the text into the content of a message',
};

const Part = z.discriminatedUnion(
  'type',
  [
    open({ type: described(z.literal('text'), 'A text.'), text }, inPart),
    open(
      {
        type: described(z.literal('image_url'), 'An image.'),
        image_url: described(
          z.union([
            imageUrl,
            open(
              {
                url: imageUrl,
                detail: described(
                  z.optional(z.string()),
                  'Accepted: the model sees every image in one size.',
                  'auto',
                ),
              },
              inPart,
            ),
          ]),
          'Names the image.',
        ),
      },
      inPart,
    ),
    open(
      {
        type: described(z.literal('file'), 'An image that was uploaded.'),
        file: described(
          open(
            {
              file_id: described(
                z.optional(z.nullable(z.string())),
                'Id of a file that was uploaded to `/v1/files` with the purpose `vision` or `user_data`.',
                'file-3f0c9d1e5a7b48c2',
              ),
              file_data: described(
                z.optional(z.nullable(z.string())),
                'The image in place of an id: a `data:` URL, or base64.',
              ),
              filename: described(z.optional(z.nullable(z.string())), 'Accepted and not read.'),
            },
            inPart,
          ),
          'Names the image: one of `file_id` and `file_data`.',
        ),
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
      'must be {type: "text", text}, {type: "image_url", image_url: {url}} or {type: "file", file: {file_id}}',
  },
);
export type ChatPart = z.infer<typeof Part>;

export const ChatMessage = described(
  open(
    {
      role: described(
        z.enum(['system', 'developer', 'user', 'assistant', 'tool', 'function']),
        'Whose message it is. What a tool replied is read as if the user had said it.',
        'user',
      ),
      content: described(
        z.optional(z.nullable(z.union([words(inMessage), z.array(Part)]))),
        'The message: a text, or texts and an image.',
        'what is above the octopus?',
      ),
      refusal: described(
        z.optional(z.nullable(z.string())),
        'An earlier reply that refused: the message, where it has no other text.',
      ),
      tool_calls: described(
        z.optional(z.nullable(z.array(z.looseObject({})))),
        'Calls by another model: they are no text, and not read. Their results are, in messages of tools.',
      ),
      function_call: described(z.optional(z.nullable(z.looseObject({}))), 'The same, of one call.'),
    },
    inMessage,
  ),
  'A message of a conversation. The image may be in any of them; the latest counts.',
);

export const ChatCompletionRequest = described(
  closed(
    {
      model: modelId,
      messages: described(
        z.array(ChatMessage).check(z.minLength(1), z.maxLength(256)),
        'The conversation, oldest message first; the last is the user’s.',
      ),
      ...textOptions,
      n: generationParameterOptions.n,
      logprobs: generationOptions.logprobs,
      top_logprobs: generationOptions.top_logprobs,
      stream_options: described(
        z.optional(
          z.object({
            include_usage: described(
              z.optional(z.boolean()),
              'Whether a last chunk without choices has the usage.',
              true,
            ),
          }),
        ),
        'Of a stream.',
      ),
      ...accepted,
      tool_choice: toolChoice,
      functions: accepted.tools,
      function_call: toolChoice,
      response_format: described(
        z.optional(z.looseObject({ type: described(z.string(), 'The form.', 'text') })),
        '`text` is the only one.',
      ),
      modalities: described(z.optional(z.array(z.string())), '`text` is the only one.', ['text']),
      logit_bias: described(
        z.optional(z.record(z.string(), z.number())),
        'No bias can be given: leave it out, or empty.',
      ),
      prediction: described(z.optional(z.looseObject({})), 'Accepted and not read.'),
      reasoning_effort: described(
        z.optional(z.string()),
        '`none`: the model does not reason.',
        'none',
      ),
      verbosity: described(z.optional(z.string()), '`medium` is the only one.', 'medium'),
    },
    inRequest,
  ),
  'A conversation about an image, as OpenAI’s clients send it, with our own options beside theirs.',
);
export type ChatCompletionRequest = z.infer<typeof ChatCompletionRequest>;

const id = described(z.string(), 'Id of the completion.', 'chatcmpl-7f1c2a30');
const created = described(z.int(), 'Seconds since 1970.', 1_795_600_000);
const model = described(z.string(), 'Name of the model that wrote the text.', 'blip2-scenes');
const fingerprint = described(
  z.string(),
  'Names the weights: with the same, a seed and a request give the same text.',
  'fp_9edfeaa7ec69',
);
const index = described(z.int(), 'Which of the `n` texts it is, from 0.', 0);
const finishReason = z.enum(['stop', 'length']);

const token = {
  token: described(z.string(), 'The characters of the token.', ' octopus'),
  logprob: described(z.number(), 'Natural logarithm of its probability.', -0.02),
  bytes: described(
    z.array(z.int()),
    'Its bytes in UTF-8: a token may be a part of a character.',
    [32, 111],
  ),
};
export const ChatTokenLogprob = described(
  z.object({
    ...token,
    top_logprobs: described(z.array(z.object(token)), 'The likeliest tokens at its position.'),
  }),
  'A generated token with its log-probability.',
);
export type ChatTokenLogprob = z.infer<typeof ChatTokenLogprob>;

const logprobs = described(
  z.nullable(
    z.object({
      content: described(z.array(ChatTokenLogprob), 'The tokens of the text.'),
      refusal: described(z.null(), 'Always null.'),
    }),
  ),
  'With `logprobs`: the tokens.',
);
const content = described(z.string(), 'The text.', 'a pizza');

export const ChatCompletion = described(
  z.object({
    id,
    object: described(z.literal('chat.completion'), 'Always `chat.completion`.'),
    created,
    model,
    system_fingerprint: fingerprint,
    choices: described(
      z.array(
        z.object({
          index,
          message: described(
            z.object({
              role: described(z.literal('assistant'), 'Always `assistant`.'),
              content,
              refusal: described(z.null(), 'Always null.'),
            }),
            'The reply.',
          ),
          logprobs,
          finish_reason: described(
            finishReason,
            'Why the text ended: at its end or before a stop sequence, or at `max_tokens` or the end of the context.',
            'stop',
          ),
        }),
      ),
      'The `n` texts.',
    ),
    usage: Usage,
    warnings: Warnings,
  }),
  'A reply to a conversation.',
);
export type ChatCompletion = z.infer<typeof ChatCompletion>;

export const ChatCompletionChunk = described(
  z.object({
    id,
    object: described(z.literal('chat.completion.chunk'), 'Always `chat.completion.chunk`.'),
    created,
    model,
    system_fingerprint: fingerprint,
    choices: described(
      z.array(
        z.object({
          index,
          delta: described(
            z.object({
              role: described(
                z.optional(z.literal('assistant')),
                'In the first chunk of a text: `assistant`.',
              ),
              content: described(z.optional(z.string()), 'The next characters.', ' octopus'),
            }),
            'What is new.',
          ),
          logprobs,
          finish_reason: described(
            z.nullable(finishReason),
            'In the last chunk of a text: why it ended.',
            'stop',
          ),
        }),
      ),
      'The texts that go on; none in the chunk that has the usage alone.',
    ),
    usage: described(
      z.optional(z.nullable(Usage)),
      'In a chunk without choices where `stream_options.include_usage` asks for it, else in the last with a choice.',
    ),
    warnings: Warnings,
  }),
  'An event of a stream; `[DONE]` follows the last.',
);
export type ChatCompletionChunk = z.infer<typeof ChatCompletionChunk>;
