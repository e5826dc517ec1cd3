/** From the request of a prediction to what is made: its model, image, prompt and options. */
import { ApiError } from '@blip2/shared/errors';
import type { GenerationOptions } from '@blip2/shared/generation/generation-options';
import { expectShort } from '@blip2/shared/generation/instruction';
import { type Prompt, preparePrompt } from '@blip2/shared/generation/prepare-prompt';
import { checkImage } from '@blip2/shared/image-format';
import { imageIdOf } from '@blip2/shared/image-id';
import { answerPrompt } from '@blip2/shared/prompts';
import {
  DEFAULT_QUESTION,
  type PredictionInput,
  PredictionRequest,
} from '@blip2/shared/schemas/replicate/prediction';
import { validate } from '@blip2/shared/validate';
import type { Dependencies } from '../../dependencies.ts';
import { expectTokens } from '../../generation/begin-generation.ts';
import { aboutField, aboutImage } from '../../image/image-field.ts';
import { sourceFromText } from '../../image/image-source.ts';
import { checkUrlLength } from '../../image/public-url.ts';
import type { PredictionOrder, PredictionSource } from '../../predictions/contract.ts';
import { type AppContext, requestContextOf, senderOf } from '../../routes/app-context.ts';
import { refuse } from '../refuse.ts';
import { uploadedFile } from './files.ts';
import { modelNamed, modelOfVersion, servedModel } from './model-names.ts';

const IMAGE = 'input.image';
/** As that model samples there. */
const TOP_P = 0.9;

/**
 * @param named the model that the path names
 * @throws ApiError of everything that can be wrong before the image is fetched
 */
export async function orderOf(
  c: AppContext,
  deps: Dependencies,
  members: Record<string, unknown>,
  named?: string,
): Promise<PredictionOrder> {
  expectInput(members.input);
  const request = validate(PredictionRequest, members);
  const { input, webhook, version, model = named } = request;
  refuse(
    'webhook',
    webhook !== undefined,
    'nothing is called back here: leave it out, and poll urls.get, send Prefer: wait, or read urls.stream',
  );
  const { models } = deps;
  const subject = model === undefined ? servedModel(models) : modelNamed(models, model);
  const { model: name, version: id } =
    version === undefined
      ? subject
      : {
          ...modelOfVersion(models, version),
          ...(model !== undefined && { model: subject.model }),
        };
  const prompt = promptOf(deps, input);
  const { source, shown } = await imageOf(c, deps, input.image);
  const asShown = { ...input, image: shown };
  // Of the image its hash: the text of a large one is dear to write.
  const fingerprint = await fingerprintOf([name, id, asShown]);
  const {
    signal: _signal,
    deadlineAt: _at,
    waitUntil: _wait,
    account,
    onImage: _onImage,
    ...context
  } = requestContextOf(c, deps);
  await expectTokens(deps, prompt, account);
  const { caller, address, requestId } = senderOf(c, deps.config);
  return {
    model: name,
    version: id,
    input: asShown,
    source,
    field: IMAGE,
    prompt,
    fingerprint,
    context,
    sender: { caller, address, requestId },
  };
}

/**
 * A version of that client sends itself in place of the input, key included.
 * @throws ApiError `invalid-request` that repeats nothing of it
 */
function expectInput(input: unknown): void {
  if (typeof input !== 'object' || input === null) return;
  if (!('auth' in input && 'baseUrl' in input)) return;
  throw new ApiError(
    'invalid-request',
    "input: is the client itself, with its key: the client's fileEncodingStrategy 'data-uri' sends that; leave it out, or write the image as a data: URL yourself.",
    { field: 'input' },
  );
}

/** @throws ApiError that names the member of the input */
function promptOf(deps: Dependencies, input: PredictionInput): Prompt {
  const {
    image: _image,
    caption = false,
    question = DEFAULT_QUESTION,
    context = '',
    use_nucleus_sampling: do_sample = false,
    temperature,
    ...rest
  } = input;
  const options: GenerationOptions = {
    ...rest,
    do_sample,
    ...(do_sample && {
      top_p: rest.top_p ?? TOP_P,
      ...(temperature !== undefined && { temperature }),
    }),
  };
  const isCaption = caption || question.trim() === '';
  const before = context.trim() === '' ? '' : `${context.trim()} `;
  const text = isCaption ? '' : `${before}${answerPrompt(deps.models.generate.family, question)}`;
  try {
    const prompt = preparePrompt(deps, { text, field: 'question' }, options);
    // Both are stored, read or not.
    expectShort(question, { field: 'question' });
    expectShort(context, { field: 'context' });
    return prompt;
  } catch (thrown) {
    if (!(thrown instanceof ApiError) || thrown.extras.field === undefined) throw thrown;
    throw aboutField(thrown, `input.${thrown.extras.field}`);
  }
}

/** The image, and what is shown of it: not its bytes. */
async function imageOf(
  c: AppContext,
  deps: Dependencies,
  text: string,
): Promise<{ source: PredictionSource; shown: string }> {
  try {
    const file = await uploadedFile(c, deps, text, IMAGE);
    if (file !== null) {
      checkUrlLength(text);
      const { id, sha256, size } = file;
      return { source: { kind: 'file', id, sha256, size }, shown: text };
    }
    const source = sourceFromText(text, IMAGE);
    switch (source.kind) {
      case 'url':
        // It is stored, where a row has 2 MB.
        checkUrlLength(source.url);
        return { source, shown: source.url };
      case 'sha256':
        return { source, shown: source.sha256 };
      case 'bytes':
        checkImage(source.bytes, { maxBytes: deps.config.maxImageBytes, field: IMAGE });
        return { source, shown: await imageIdOf(source.bytes) };
    }
  } catch (thrown) {
    throw aboutImage(thrown, IMAGE);
  }
}

async function fingerprintOf(what: unknown): Promise<string> {
  const bytes = new TextEncoder().encode(JSON.stringify(what));
  return new Uint8Array(await crypto.subtle.digest('SHA-256', bytes)).toHex();
}
