/** Names and versions by which Replicate's clients ask for the model: its own, and those that BLIP-2 has there. */
import { ApiError } from '@blip2/shared/errors';
import type { ServedModels } from '@blip2/shared/served-models';
import { expectModel, servedName } from '../model-ids.ts';

/** Names of BLIP-2 there. */
const PUBLIC_NAMES = ['salesforce/blip-2', 'andreasjansson/blip-2'];
/** Versions of it there, which programs have written down. */
const PUBLIC_VERSIONS = [
  '4b32258c42e9efd4288bb9910bc532a69727f9acd26aa08e175713a0a857a608',
  'f677695e5e89f8b236e52ecd1d3f01beb44c34606419bcc19345e046d8f786f9',
];
/** Owner of models that nobody published. */
const OWNER = 'blip2';

export type ModelVersion = { model: string; version: string };

/** The model under its own name. */
export function servedModel({ generate }: ServedModels): ModelVersion {
  return { model: `${OWNER}/${generate.name}`, version: generate.revision };
}

/** Every name under which the model can be run. */
export function modelNames(models: ServedModels): string[] {
  return [servedModel(models).model, ...PUBLIC_NAMES];
}

/**
 * The model of this name, as it is called in the reply.
 * @throws ApiError `model-not-found`
 * @example modelNamed(models, 'Salesforce/BLIP-2') // { model: 'salesforce/blip-2', version: '…' }
 */
export function modelNamed(models: ServedModels, name: string): ModelVersion {
  const { model, version } = servedModel(models);
  const known = modelNames(models).find((other) => other === name.toLowerCase() || other === name);
  if (known !== undefined) return { model: known, version };
  // The names of other dialects, with the hub's owner in any case.
  const id = name.replace(/^blip2\//, '').replace(/^salesforce\//i, 'Salesforce/');
  try {
    expectModel(models, id, 'generate');
  } catch (thrown) {
    if (!(thrown instanceof ApiError) || isServed(models, id)) throw thrown;
    throw notFound('model', name, modelNames(models));
  }
  return { model, version };
}

function isServed(models: ServedModels, id: string): boolean {
  try {
    return servedName(models, id) !== undefined;
  } catch {
    return false;
  }
}

/**
 * The model of a version, which may be a name with or without a version.
 * @throws ApiError `model-not-found`
 */
export function modelOfVersion(models: ServedModels, version: string): ModelVersion {
  const served = servedModel(models);
  const [, name, behind] = /^([^/:]+\/[^/:]+)(?::(.*))?$/s.exec(version) ?? [];
  const named = name === undefined ? served : modelNamed(models, name);
  const id = name === undefined ? version : behind;
  if (id === undefined || isVersion(models, id)) return { ...named, version: id ?? served.version };
  throw notFound('version', id, [served.version]);
}

export function isVersion(models: ServedModels, id: string): boolean {
  return id === servedModel(models).version || PUBLIC_VERSIONS.includes(id);
}

export function notFound(field: 'model' | 'version', id: string, use: readonly string[]): ApiError {
  const detail = `The ${field} ${JSON.stringify(id.slice(0, 100))} is not served here: use ${use.join(' or ')}.`;
  return new ApiError('model-not-found', detail, { field });
}
