/** Names of models as Ollama writes them: with a tag, of which there is one. */
import type { ModelKind } from '@blip2/shared/route';
import type { ServedModels } from '@blip2/shared/served-models';
import { expectModel, servedName } from '../model-ids.ts';

const TAG = ':latest';

/** @example toOllamaName('blip2-scenes') // 'blip2-scenes:latest' */
export const toOllamaName = (name: string) => `${name}${TAG}`;

const withoutTag = (id: string) => (id.endsWith(TAG) ? id.slice(0, -TAG.length) : id);

/** @throws ApiError `model-not-found` where the named model is not served, or is not the one that does this */
export function expectOllamaModel(models: ServedModels, id: string, kind: ModelKind): void {
  expectModel(models, withoutTag(id), kind);
}

/** The served name of a model, without a tag. @throws ApiError `model-not-found` */
export function ollamaServedName(models: ServedModels, id: string): string {
  return servedName(models, withoutTag(id));
}
