/** The names by which models are asked for: those that are served, and what the hub calls the same. */
import { ApiError } from '@blip2/shared/errors';
import type { ModelKind } from '@blip2/shared/route';
import type { ServedModels } from '@blip2/shared/served-models';

/** Checkpoints that the hub has under the name of their makers. */
const PUBLISHED = /^(blip2-(opt|flan-t5|itm)|instructblip)-[\w.-]+$/;
const PUBLISHER = 'Salesforce';

const isNameOf = (name: string, id: string): boolean =>
  id === name || (PUBLISHED.test(name) && id === `${PUBLISHER}/${name}`);

/** Names of the models that are served, each once. */
export function servedNames({ generate, retrieve }: ServedModels): string[] {
  return [...new Set([generate.name, ...(retrieve ? [retrieve.name] : [])])];
}

/** When what a name stands for was built, the last of it, in seconds since 1970; 0 where that is not known. */
export function createdOf({ generate, retrieve }: ServedModels, name: string): number {
  const named = [generate, retrieve].filter((model) => model?.name === name);
  return Math.max(0, ...named.map((model) => model?.created ?? 0));
}

/**
 * The served name of a model.
 * @throws ApiError `model-not-found`
 * @example servedName(models, 'Salesforce/blip2-opt-2.7b') // 'blip2-opt-2.7b', where that is served
 */
export function servedName(models: ServedModels, id: string): string {
  const name = servedNames(models).find((served) => isNameOf(served, id));
  if (name !== undefined) return name;
  const served = servedNames(models).join(' and ');
  throw notFound(
    `The model ${JSON.stringify(id.slice(0, 100))} is not served here: use ${served}.`,
  );
}

const WORK: Record<ModelKind, string> = { generate: 'writes text', retrieve: 'makes embeddings' };

/** @throws ApiError `model-not-found` where the named model is not served, or is not the one that does this */
export function expectModel(models: ServedModels, id: string, kind: ModelKind): void {
  const wanted = models[kind]?.name;
  if (wanted !== undefined && isNameOf(wanted, id)) return;
  const name = servedName(models, id);
  const use = wanted === undefined ? 'none that does is served' : `use ${wanted}`;
  throw notFound(`The model ${name} is not the one that ${WORK[kind]}: ${use}.`);
}

function notFound(detail: string): ApiError {
  return new ApiError('model-not-found', detail, { field: 'model' });
}
