/** `GET /v1/models` and `GET /v1/models/{id}`. */
import * as z from 'zod/mini';
import { described } from '../described.ts';

export const modelId = described(
  z.string(),
  'Id of a model, or its name on the hub: `/v1/models` lists what is served.',
  'blip2-scenes',
);

/** Path of one model. */
export const OpenAiModelPath = z.object({ id: modelId });

export const OpenAiModel = described(
  z.object({
    id: described(z.string(), 'The name by which requests ask for it.', 'blip2-scenes'),
    object: described(z.literal('model'), 'Always `model`.'),
    created: described(
      z.int(),
      'When it was built for this service, in seconds since 1970; 0 where that is not known.',
      1_795_600_000,
    ),
    owned_by: described(z.string(), 'Always `blip2`.', 'blip2'),
  }),
  'A model that is served.',
);
export type OpenAiModel = z.infer<typeof OpenAiModel>;

export const OpenAiModelList = described(
  z.object({
    object: described(z.literal('list'), 'Always `list`.'),
    data: described(z.array(OpenAiModel), 'All of them.'),
  }),
  'The models that are served.',
);
export type OpenAiModelList = z.infer<typeof OpenAiModelList>;
