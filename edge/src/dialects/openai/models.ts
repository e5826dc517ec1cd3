/** `GET /v1/models` and `GET /v1/models/{id}`: what is served. */
import type { OpenAiModel, OpenAiModelList } from '@blip2/shared/schemas/openai/models';
import type { Handler } from '../../routes/app-context.ts';
import { servedName, servedNames } from '../model-ids.ts';

const toModel = (id: string): OpenAiModel => ({
  id,
  object: 'model',
  created: 0,
  owned_by: 'blip2',
});

export const listModels: Handler = (c, { models }) => {
  const list: OpenAiModelList = { object: 'list', data: servedNames(models).map(toModel) };
  return c.json(list);
};

export const retrieveModel: Handler = (c, { models }) =>
  c.json(toModel(servedName(models, c.req.param('id') ?? '')));
