/** What a reply says of texts that have ended. */
import { ApiError } from '../errors.ts';
import type { Choice, Usage } from '../schemas/generation.ts';
import type { GpuDone } from '../wire.ts';
import type { TextStreamer } from './text-streamer.ts';

/** @param prompt_tokens with the image positions */
export function usageOf(prompt_tokens: number, texts: readonly TextStreamer[]): Usage {
  const completion_tokens = texts.reduce((sum, { count }) => sum + count, 0);
  return { prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens };
}

/** @param done absent where every text met a stop sequence before the worker was done */
export function choicesOf(
  texts: readonly TextStreamer[],
  done: GpuDone | undefined,
): Choice & { choices?: Choice[] } {
  const choices = texts.map(({ text, isStopped, logprobs }, index): Choice => {
    const end = done?.choices[index];
    if (!isStopped && end === undefined) throw incomplete();
    return {
      text,
      finish_reason: isStopped ? 'stop' : (end?.finish_reason ?? 'stop'),
      ...(end?.score === undefined ? {} : { score: end.score }),
      ...(logprobs.length > 0 ? { logprobs } : {}),
    };
  });
  const [first, ...others] = choices;
  if (first === undefined) throw incomplete();
  return others.length === 0 ? first : { ...first, choices };
}

function incomplete(): ApiError {
  return new ApiError('bad-gateway', 'The GPU worker sent an incomplete reply.');
}
