/** Takes from the limits of a caller what a prediction may need, so that whoever has not so much left learns it at once. */
import { embeddingIdOf, imagePathOf } from '@blip2/shared/cache-key';
import { imageIdOf } from '@blip2/shared/image-id';
import type { Dependencies } from '../dependencies.ts';
import { mostTokens } from '../generation/begin-generation.ts';
import type { Account } from '../limits/account.ts';
import type { PredictionOrder } from './contract.ts';
import { lookUpContext } from './look-up-context.ts';
import type { Run } from './run.ts';

/** @throws ApiError `quota-exceeded`, `limits-unavailable` */
export async function admitPrediction(
  { prediction: { createdAt } }: Run,
  { source, prompt, context }: PredictionOrder,
  deps: Pick<Dependencies, 'config' | 'models' | 'now' | 'stores'>,
  account: Account,
  object: Pick<DurableObjectState, 'id' | 'waitUntil'>,
): Promise<void> {
  let images = 0;
  const isSent = source.kind === 'bytes' || source.kind === 'file';
  if (isSent && account.limitsImages) {
    const sha256 = source.kind === 'file' ? source.sha256 : await imageIdOf(source.bytes);
    const path = imagePathOf(context.namespace, sha256);
    const id = await embeddingIdOf(path, prompt.instructionIds);
    const { kind } = await deps.stores.query.cache.lookup(id, lookUpContext(deps, object));
    images = kind === 'hit' ? 0 : 1;
  }
  const tokens = mostTokens(deps.models, prompt);
  await account.reserve({ tokens, images }, createdAt + deps.config.deadlineMs);
}
