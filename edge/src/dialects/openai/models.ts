/** `GET /v1/models` and `GET /v1/models/{id}`: what is served. */
import type { OpenAiModel, OpenAiModelList } from '@blip2/shared/schemas/openai/models';
import type { ServedModels } from '@blip2/shared/served-models';
import type { Handler } from '../../routes/app-context.ts';
import { createdOf, servedName, servedNames } from '../model-ids.ts';

const toModel = (models: ServedModels, id: string): OpenAiModel => ({
  id,
  object: 'model',
  created: createdOf(models, id),
  owned_by: 'blip2',
});

export const listModels: Handler = (c, { models }) => {
  const list: OpenAiModelList = {
    object: 'list',
    data: servedNames(models).map((id) => toModel(models, id)),
  };
  return c.json(list);
};

export const retrieveModel: Handler = (c, { models }) =>
  c.json(toModel(models, servedName(models, c.req.param('id') ?? '')));
