/** Choices and chunks of a chat completion. */
import { ApiError } from '@blip2/shared/errors';
import type { Choice, TokenLogprob } from '@blip2/shared/schemas/generation';
import type { ChatCompletion, ChatCompletionChunk } from '@blip2/shared/schemas/openai/chat';
import type { GenerativeModel } from '@blip2/shared/served-models';
import { toOpenAiLogprobs } from '../logprobs.ts';
import type { StreamForm } from '../stream-reply.ts';
import type { ReplyDelta, Written } from '../write-reply.ts';
import { openAiError } from './errors.ts';

/** What every chunk and the whole have in common. */
export type CompletionHead = Pick<
  ChatCompletion,
  'id' | 'created' | 'model' | 'system_fingerprint'
>;

type Logprobs = ChatCompletion['choices'][number]['logprobs'];

export function toChoice(
  model: GenerativeModel,
  { text, finish_reason, logprobs }: Choice,
  index: number,
): ChatCompletion['choices'][number] {
  return {
    index,
    message: { role: 'assistant', content: text, refusal: null },
    logprobs: toLogprobs(model, logprobs),
    finish_reason,
  };
}

function toLogprobs(model: GenerativeModel, logprobs: readonly TokenLogprob[] = []): Logprobs {
  if (logprobs.length === 0) return null;
  return { content: toOpenAiLogprobs(model, logprobs), refusal: null };
}

/**
 * A chunk with the role for each text, one for each delta, and one with the reason for each text's end. The usage is in
 * the last of these, as are warnings, or in a chunk of its own without choices: many clients read `choices[0]` of every chunk.
 * @param n how many texts there will be
 */
export function chatChunks(
  head: CompletionHead,
  model: GenerativeModel,
  { n, hasUsageChunk }: { n: number; hasUsageChunk: boolean },
): StreamForm {
  const sentLogprobs: number[] = Array(n).fill(0);
  const encode = (
    choices: ChatCompletionChunk['choices'],
    whole?: Pick<Written, 'usage' | 'warnings'>,
  ): string => {
    const chunk: ChatCompletionChunk = {
      ...head,
      object: 'chat.completion.chunk',
      choices,
      ...(hasUsageChunk && { usage: null }),
      ...whole,
    };
    return `data: ${JSON.stringify(chunk)}\n\n`;
  };
  const ends = ({ usage, warnings, choices, ...only }: Written): string => {
    const whole = { usage, ...(warnings && { warnings }) };
    const all = choices ?? [only];
    const last = all.map(({ finish_reason, logprobs = [] }, index) => {
      // Those of tokens without text, and of an end.
      const rest = toLogprobs(model, logprobs.slice(sentLogprobs[index]));
      const counted = !hasUsageChunk && index === all.length - 1 ? whole : undefined;
      return encode([{ index, delta: {}, logprobs: rest, finish_reason }], counted);
    });
    return `${last.join('')}${hasUsageChunk ? encode([], whole) : ''}data: [DONE]\n\n`;
  };
  return {
    begin: () =>
      Array.from({ length: n }, (_, index) =>
        encode([
          { index, delta: { role: 'assistant', content: '' }, logprobs: null, finish_reason: null },
        ]),
      ).join(''),
    write: (delta: ReplyDelta) => {
      switch (delta.type) {
        case 'image':
          return '';
        case 'delta': {
          const { choice: index, text: content, logprobs = [] } = delta;
          sentLogprobs[index] = (sentLogprobs[index] ?? 0) + logprobs.length;
          const scored = toLogprobs(model, logprobs);
          return encode([{ index, delta: { content }, logprobs: scored, finish_reason: null }]);
        }
        case 'done':
          return ends(delta.generation);
      }
    },
    fail: (thrown) => `data: ${JSON.stringify({ error: openAiError(ApiError.from(thrown)) })}\n\n`,
  };
}
