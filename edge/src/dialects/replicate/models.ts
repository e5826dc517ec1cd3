/** The models, their versions and the account: what clients ask about before they run anything. */

import type {
  ReplicateAccount,
  ReplicateModel,
  ReplicateModelList,
  ReplicateVersion,
  ReplicateVersionList,
} from '@blip2/shared/schemas/replicate/model';
import { PredictionInput } from '@blip2/shared/schemas/replicate/prediction';
import type { Dependencies } from '../../dependencies.ts';
import type { AppContext, Handler } from '../../routes/app-context.ts';
import { jsonSchema } from '../../routes/openapi/schemas.ts';
import { createdOf } from '../model-ids.ts';
import { isVersion, modelNamed, modelNames, notFound } from './model-names.ts';
import { publicBase } from './objects.ts';

export const listModels: Handler = (c, deps) => {
  const results = modelNames(deps.models).map((name) => modelOf(c, deps, name));
  return c.json({ previous: null, next: null, results } satisfies ReplicateModelList);
};

export const getModel: Handler = (c, deps) => c.json(modelOf(c, deps, namedIn(c)));

export const listVersions: Handler = (c, deps) => {
  const { latest_version } = modelOf(c, deps, namedIn(c));
  const results = [latest_version];
  return c.json({ previous: null, next: null, results } satisfies ReplicateVersionList);
};

export const getVersion: Handler = (c, deps) => {
  const { version } = modelNamed(deps.models, namedIn(c));
  const id = c.req.param('version') ?? '';
  if (!isVersion(deps.models, id)) throw notFound('version', id, [version]);
  return c.json(versionOf(deps, id));
};

export const getAccount: Handler = (c) => {
  const username = c.get('caller')?.record.name ?? 'anonymous';
  const account: ReplicateAccount = { type: 'user', username, name: username };
  return c.json(account);
};

/** The model that the path names. */
export function namedIn(c: AppContext): string {
  return `${c.req.param('owner')}/${c.req.param('name')}`;
}

function modelOf(c: AppContext, deps: Dependencies, named: string): ReplicateModel {
  const { model, version } = modelNamed(deps.models, named);
  const [owner = '', name = ''] = model.split('/');
  return {
    url: `${publicBase(c, deps)}/models/${model}`,
    owner,
    name,
    description: `${deps.models.generate.name}: captions images and answers questions about them.`,
    visibility: 'public',
    run_count: 0,
    latest_version: versionOf(deps, version),
  };
}

function versionOf({ models }: Pick<Dependencies, 'models'>, id: string): ReplicateVersion {
  const input = jsonSchema(PredictionInput, new Map());
  return {
    id,
    created_at: new Date(1000 * createdOf(models, models.generate.name)).toISOString(),
    cog_version: '0.9.0',
    openapi_schema: {
      openapi: '3.0.2',
      info: { title: 'Cog', version: '0.1.0' },
      paths: {},
      components: {
        schemas: {
          Input: { ...input, title: 'Input' },
          Output: { type: 'string', title: 'Output' },
        },
      },
    },
  };
}
