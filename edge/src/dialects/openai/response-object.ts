/** The object of a response, as it begins and as it has ended. */
import type {
  OutputMessage,
  ResponseObject,
  ResponseRequest,
} from '@blip2/shared/schemas/openai/responses';
import type { GenerativeModel } from '@blip2/shared/served-models';
import type { GenerationConfig } from '@blip2/shared/wire';
import { toOpenAiLogprobs } from '../logprobs.ts';
import type { Written } from '../write-reply.ts';

export type ResponseIdentity = {
  /** Of the request. */
  id: string;
  /** Seconds since the epoch. */
  createdAt: number;
  model: string;
  generation: GenerationConfig;
};

/** A response in progress. */
export function openedResponse(
  body: ResponseRequest,
  { id, createdAt, model, generation }: ResponseIdentity,
): ResponseObject {
  return {
    id: `resp_${id}`,
    object: 'response',
    created_at: createdAt,
    status: 'in_progress',
    background: false,
    error: null,
    incomplete_details: null,
    instructions: body.instructions ?? null,
    max_output_tokens: body.max_output_tokens ?? null,
    model,
    output: [],
    parallel_tool_calls: body.parallel_tool_calls ?? true,
    previous_response_id: null,
    reasoning: { effort: null, summary: null },
    service_tier: 'default',
    store: false,
    temperature: generation.temperature,
    top_p: generation.top_p,
    text: { format: { type: 'text' } },
    tool_choice: typeof body.tool_choice === 'string' ? body.tool_choice : 'auto',
    tools: [],
    top_logprobs: generation.top_logprobs,
    truncation: body.truncation ?? 'disabled',
    usage: null,
    user: body.user ?? null,
    metadata: body.metadata ?? {},
    access_programs: null,
  };
}

/** Who writes, and the id of the only message. */
export type ResponseSubject = { model: GenerativeModel; messageId: string };

/** The same with its message and its usage: `incomplete` where the text ended for want of tokens. */
export function endedResponse(
  response: ResponseObject,
  { model, messageId }: ResponseSubject,
  { text, finish_reason, logprobs, usage }: Written,
): ResponseObject {
  const isWhole = finish_reason === 'stop';
  const status = isWhole ? 'completed' : 'incomplete';
  const message: OutputMessage = {
    id: messageId,
    type: 'message',
    role: 'assistant',
    status,
    content: [
      {
        type: 'output_text',
        text,
        annotations: [],
        ...(logprobs && { logprobs: toOpenAiLogprobs(model, logprobs) }),
      },
    ],
  };
  return {
    ...response,
    status,
    incomplete_details: isWhole ? null : { reason: 'max_output_tokens' },
    output: [message],
    usage: {
      input_tokens: usage.prompt_tokens,
      input_tokens_details: { cached_tokens: 0 },
      output_tokens: usage.completion_tokens,
      output_tokens_details: { reasoning_tokens: 0 },
      total_tokens: usage.total_tokens,
    },
  };
}
