/** Writes the reply to a conversation: what every dialect with chat does before its own form begins. */
import { ApiError } from '@blip2/shared/errors';
import type { GenerationOptions } from '@blip2/shared/generation/generation-options';
import { type Prompt, preparePrompt } from '@blip2/shared/generation/prepare-prompt';
import type { Choice } from '@blip2/shared/schemas/generation';
import type { GenerationConfig } from '@blip2/shared/wire';
import type { Dependencies } from '../dependencies.ts';
import { beginGeneration } from '../generation/begin-generation.ts';
import type { Delta, Generation } from '../generation/generate.ts';
import { aboutField, aboutImage } from '../image/image-field.ts';
import { type ImageSource, type StoredImage, sourceFromText } from '../image/image-source.ts';
import type { RequestContext } from '../request-context.ts';
import { type Conversation, type MessageImage, promptOf } from './conversation.ts';

/** The end of a reply, as dialects show it. */
export type Written = Pick<
  Generation,
  'text' | 'finish_reason' | 'logprobs' | 'choices' | 'model' | 'usage' | 'warnings'
> &
  Partial<Pick<Generation, 'image'>>;

export type ReplyDelta =
  | { type: 'image' }
  | Extract<Delta, { type: 'delta' }>
  /** `sentAt`: absent where there is no image. */
  | { type: 'done'; generation: Written; sentAt?: number };

/** What is written to those who send no image: apps ask for titles and tags so, and are not helped by an error. */
const NO_IMAGE = 'Send an image: this model says what it shows and answers questions about it.';

export type ReplyRequest = {
  conversation: Conversation;
  options: GenerationOptions;
  /** The member of the request that holds the messages. */
  field: string;
  /** Whether the oldest turns may be left out where all are too many. */
  mayTruncate?: boolean;
  /** Where the bytes of an image are, in dialects that name images in ways of their own. */
  imageSource?: (image: MessageImage) => Promise<ImageSource | StoredImage>;
};

/** What a reply will be written with. */
export type PreparedReply = {
  generation: GenerationConfig;
  /** Nothing is sent to the GPU worker before the first delta is asked for. */
  begin: (context: RequestContext) => Promise<AsyncGenerator<ReplyDelta, void, undefined>>;
};

/**
 * Validates everything that needs no image.
 * @throws ApiError `prompt-too-long`, `invalid-request`; `begin` throws those of the image
 */
export function prepareReply(deps: Dependencies, request: ReplyRequest): PreparedReply {
  const { image } = request.conversation;
  if (image === undefined) {
    // What no model reads may be as long as it likes: apps send whole conversations for their titles.
    const { generation } = preparePrompt(deps, { text: '' }, request.options);
    const text = promptOf(deps.models.generate.family, request.conversation);
    return { generation, begin: async () => withoutImage(deps, text, generation.n) };
  }
  const prompt = promptFor(deps, request);
  const { generation } = prompt;
  return {
    generation,
    begin: async (context) => {
      try {
        const { imageSource } = request;
        const source = imageSource
          ? await imageSource(image)
          : sourceFromText(image.url, image.field);
        const { deltas } = await beginGeneration(deps, { source, prompt }, context);
        return aboutImageOf(deltas, image.field);
      } catch (thrown) {
        throw aboutImage(thrown, image.field);
      }
    },
  };
}

/** With all turns, or, where the oldest may be left out, with as many as fit. */
function promptFor(
  deps: Pick<Dependencies, 'models' | 'randomSeed'>,
  { conversation, options, field, mayTruncate = false }: ReplyRequest,
): Prompt {
  const { history } = conversation;
  const { family } = deps.models.generate;
  const where = history.length > 0 ? 'history' : 'question';
  const without = (dropped: number) => {
    const text = promptOf(family, { ...conversation, history: history.slice(dropped) });
    return preparePrompt(deps, { text, field: where }, options);
  };
  try {
    return mayTruncate ? firstThatFits(history.length, without) : without(0);
  } catch (thrown) {
    const isOfText =
      thrown instanceof ApiError && ['question', 'history'].includes(thrown.extras.field ?? '');
    throw isOfText ? aboutField(thrown, field) : thrown;
  }
}

/**
 * The prompt without as few turns as it takes to fit. Each try counts all tokens anew: what is left out is found by halves, as turn by
 * turn a conversation that never fits would be tokenized as often as it has turns.
 * @param prepare the prompt without so many turns
 * @throws what `prepare` throws of that prompt, or of the one without any turn
 */
function firstThatFits(turns: number, prepare: (dropped: number) => Prompt): Prompt {
  const tried = (dropped: number): { isTooLong: boolean; prompt: () => Prompt } => {
    try {
      const prompt = prepare(dropped);
      return { isTooLong: false, prompt: () => prompt };
    } catch (thrown) {
      const isTooLong = thrown instanceof ApiError && thrown.slug === 'prompt-too-long';
      const prompt = () => {
        throw thrown;
      };
      return { isTooLong, prompt };
    }
  };
  const whole = tried(0);
  if (!whole.isTooLong || turns === 0) return whole.prompt();
  let best = tried(turns);
  if (best.isTooLong) return best.prompt();
  for (let [tooFew, enough] = [0, turns]; enough - tooFew > 1; ) {
    const middle = (tooFew + enough) >> 1;
    const current = tried(middle);
    if (current.isTooLong) tooFew = middle;
    else [enough, best] = [middle, current];
  }
  return best.prompt();
}

/** The same deltas; what the GPU worker says of the image is about that member of the request. */
async function* aboutImageOf(
  deltas: AsyncGenerator<Delta, void, undefined>,
  field: string,
): AsyncGenerator<Delta, void, undefined> {
  try {
    yield* deltas;
  } catch (thrown) {
    throw aboutImage(thrown, field);
  }
}

/** The time to count tokens grows with the characters, and these are for statistics alone. */
const MAX_COUNTED = 4096;

async function* withoutImage(
  { models }: Pick<Dependencies, 'models'>,
  prompt: string,
  n: number,
): AsyncGenerator<ReplyDelta, void, undefined> {
  const { name, tokenizer } = models.generate;
  const choice: Choice = { text: NO_IMAGE, finish_reason: 'stop' };
  for (let index = 0; index < n; index++) {
    yield { type: 'delta', choice: index, text: NO_IMAGE, index: 0 };
  }
  const prompt_tokens = tokenizer().encode(prompt.slice(0, MAX_COUNTED)).length;
  const completion_tokens = n * tokenizer().encode(NO_IMAGE).length;
  const total_tokens = prompt_tokens + completion_tokens;
  yield {
    type: 'done',
    generation: {
      ...choice,
      ...(n > 1 && { choices: Array.from({ length: n }, () => choice) }),
      model: name,
      usage: { prompt_tokens, completion_tokens, total_tokens },
    },
  };
}
