/** `POST /api/chat` and `POST /api/generate`. */
import * as z from 'zod/mini';
import { described } from '../described.ts';
import { ChatTokenLogprob } from '../openai/chat.ts';
import { closed, open, words } from '../places.ts';
import { ofText, ollamaImages } from './options.ts';

const notDone = (description: string) => described(z.optional(z.string()), description);

const IN_IMAGES = 'put the image into images, as base64';

export const OllamaMessage = described(
  open(
    {
      role: described(
        z.enum(['system', 'user', 'assistant', 'tool']),
        'Whose message it is. What a tool replied is read as if the user had said it.',
        'user',
      ),
      content: described(
        z.optional(words({ image: IN_IMAGES })),
        'The message.',
        'what is above the octopus?',
      ),
      tool_calls: described(
        z.optional(z.array(z.looseObject({}))),
        'Calls by another model: they are no text, and not read. Their results are, in messages of tools.',
      ),
      images: ollamaImages,
    },
    { image: IN_IMAGES, text: 'put the text into content' },
  ),
  'A message of a conversation. The image may be in any of them; the latest counts.',
);
export type OllamaMessage = z.infer<typeof OllamaMessage>;

export const OllamaChatRequest = described(
  closed(
    {
      ...ofText,
      messages: described(
        z.optional(z.array(OllamaMessage).check(z.maxLength(256))),
        'The conversation, oldest message first; the last is the user’s. Without one, the reply says that the model is loaded.',
      ),
      tools: described(
        z.optional(z.array(z.looseObject({}))),
        'An empty list is the only one: no tool is called.',
        [],
      ),
      metadata: described(z.optional(z.looseObject({})), 'Accepted and not read.'),
    },
    {
      image: 'put the image into images of a message, as base64',
      text: 'put the text into the content of a message',
    },
  ),
  'A conversation about an image, as Ollama’s clients send it.',
);
export type OllamaChatRequest = z.infer<typeof OllamaChatRequest>;

export const OllamaGenerateRequest = described(
  closed(
    {
      ...ofText,
      prompt: described(
        z.optional(words({ image: IN_IMAGES })),
        'A question; a request for a description, or none beside an image, is a caption. Without either, the reply says that the model is loaded.',
        'what is above the octopus?',
      ),
      images: ollamaImages,
      system: described(z.optional(z.string()), 'What stands before the question.'),
      suffix: notDone('Not done here: nothing is written in between. Leave it out.'),
      raw: described(
        z.optional(z.boolean()),
        '`false`: `prompt` of `/v1/captions` is the beginning of a caption.',
        false,
      ),
      context: described(
        z.optional(z.array(z.int())),
        'Not done here: send the conversation to `/api/chat`. Leave it out.',
      ),
    },
    {
      image: IN_IMAGES,
      text: 'put the text into prompt, and a conversation into messages of /api/chat',
    },
  ),
  'A question about an image, as Ollama’s clients send it.',
);
export type OllamaGenerateRequest = z.infer<typeof OllamaGenerateRequest>;

const nanoseconds = (description: string, example: number) =>
  described(z.optional(z.int()), `Nanoseconds ${description}.`, example);

/** Members of every reply, and of every line. */
const ofReply = {
  model: described(z.string(), 'The model, as the request names it.', 'blip2-scenes'),
  created_at: described(z.string(), 'When it was written.', '2026-11-27T09:30:00.000Z'),
  done: described(z.boolean(), 'Whether it is the whole, or the last line.', true),
  done_reason: described(
    z.optional(z.enum(['stop', 'length', 'load'])),
    'Why the text ended: at its end or before a stop sequence, or at `num_predict` or the end of the context. `load`: nothing was asked for.',
    'stop',
  ),
  total_duration: nanoseconds('from the request to its end', 81_000_000),
  load_duration: nanoseconds('to load the model, which always is', 0),
  prompt_eval_count: described(
    z.optional(z.int()),
    'Positions of the prompt: those of the image, and the tokens of the text.',
    41,
  ),
  prompt_eval_duration: nanoseconds('from the request to the first characters', 64_000_000),
  eval_count: described(z.optional(z.int()), 'Tokens that were generated.', 3),
  eval_duration: nanoseconds('from the first characters to the end', 17_000_000),
  logprobs: described(
    z.optional(z.array(ChatTokenLogprob)),
    'With `logprobs`: the tokens, of a line its own.',
  ),
};

export const OllamaChatReply = described(
  z.object({
    ...ofReply,
    message: described(
      z.object({
        role: described(z.literal('assistant'), 'Always `assistant`.'),
        content: described(z.string(), 'The text, of a line what is new.', 'a pizza'),
      }),
      'The reply.',
    ),
  }),
  'A reply to a conversation, or a line of one.',
);
export type OllamaChatReply = z.infer<typeof OllamaChatReply>;

export const OllamaGenerateReply = described(
  z.object({
    ...ofReply,
    response: described(z.string(), 'The text, of a line what is new.', 'a pizza'),
  }),
  'An answer or a caption, or a line of one.',
);
export type OllamaGenerateReply = z.infer<typeof OllamaGenerateReply>;

/** What all replies have but the text. */
export type OllamaReply = Omit<OllamaChatReply, 'message'>;
