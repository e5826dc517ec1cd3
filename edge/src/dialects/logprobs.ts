/** Log-probabilities as OpenAI and Ollama write them: with the bytes of each token, which may be a part of a character. */
import type { TokenLogprob } from '@blip2/shared/schemas/generation';
import type { ChatTokenLogprob } from '@blip2/shared/schemas/openai/chat';
import type { GenerativeModel } from '@blip2/shared/served-models';

/** @example toOpenAiLogprobs(model, [{ id: 5, text: ' dog', logprob: -0.1, top_logprobs: [] }])[0].bytes // [32, 100, …] */
export function toOpenAiLogprobs(
  { tokenizer }: Pick<GenerativeModel, 'tokenizer'>,
  logprobs: readonly TokenLogprob[],
): ChatTokenLogprob[] {
  const { bytesOf } = tokenizer();
  const ofToken = ({ id, text, logprob }: Omit<TokenLogprob, 'top_logprobs'>) => ({
    token: text,
    logprob,
    bytes: [...bytesOf(id)],
  });
  return logprobs.map((token) => ({
    ...ofToken(token),
    top_logprobs: token.top_logprobs.map(ofToken),
  }));
}
