/** `GET /api/tags`, `GET /api/ps`, `POST /api/show` and `GET /api/version`. */
import * as z from 'zod/mini';
import { described } from '../described.ts';
import { ollamaModel } from './options.ts';

const details = described(
  z.object({
    parent_model: described(z.string(), 'Always empty.', ''),
    format: described(z.string(), 'Always `onnx`.', 'onnx'),
    family: described(z.string(), 'Always `blip2`.', 'blip2'),
    families: described(z.array(z.string()), 'The parts of the model.', ['blip2', 'opt']),
    parameter_size: described(z.string(), 'Always empty: it is not known here.', ''),
    quantization_level: described(z.string(), 'The precision of the weights.', 'FP32'),
  }),
  'What kind of model it is.',
);

const modifiedAt = described(
  z.string(),
  'When it was built for this service; the beginning of 1970 where that is not known.',
  '2026-11-25T10:26:40.000Z',
);

const model = {
  name: described(z.string(), 'The name by which requests ask for it.', 'blip2-scenes:latest'),
  model: described(z.string(), 'The same.', 'blip2-scenes:latest'),
  size: described(z.int(), 'Bytes of its files.', 41_000_000),
  digest: described(
    z.string(),
    'Names the weights, in hexadecimal.',
    '9edfeaa7ec6962b3128f52d22720f8955e0231fdb0773d215329e5c6b362e46c',
  ),
  details,
};

export const OllamaModelList = described(
  z.object({
    models: described(
      z.array(described(z.object({ ...model, modified_at: modifiedAt }), 'A model.')),
      'All of them.',
    ),
  }),
  'The models that are served.',
);
export type OllamaModelList = z.infer<typeof OllamaModelList>;

export const OllamaRunningList = described(
  z.object({
    models: described(
      z.array(
        described(
          z.object({
            ...model,
            expires_at: described(
              z.string(),
              'Far away: models stay loaded.',
              '2999-01-01T00:00:00Z',
            ),
            context_length: described(z.int(), 'Positions that a sequence may have.', 256),
          }),
          'A model that is loaded.',
        ),
      ),
      'All that are served: they stay loaded.',
    ),
  }),
  'The models that are loaded.',
);
export type OllamaRunningList = z.infer<typeof OllamaRunningList>;

export const OllamaShowRequest = described(
  z.strictObject({
    model: z.optional(ollamaModel),
    name: described(z.optional(z.string()), 'An older name of `model`.', 'blip2-scenes'),
    verbose: described(z.optional(z.boolean()), 'Accepted: all is shown.', false),
    system: described(z.optional(z.string()), 'Accepted and not read.'),
    template: described(z.optional(z.string()), 'Accepted and not read.'),
    options: described(z.optional(z.looseObject({})), 'Accepted and not read.'),
  }),
  'Which model to show.',
);

export const OllamaShowReply = described(
  z.object({
    modelfile: described(z.string(), 'What the model is made of.', 'FROM blip2-scenes'),
    parameters: described(
      z.string(),
      'What holds where a request says nothing, an option a line.',
      'num_predict 32',
    ),
    template: described(
      z.string(),
      'How a question stands in the prompt.',
      'Question: {{ .Prompt }} Answer:',
    ),
    details,
    model_info: described(
      z.record(z.string(), z.union([z.string(), z.number()])),
      'Sizes of the model.',
      { 'general.architecture': 'blip2', 'blip2.context_length': 256 },
    ),
    capabilities: described(
      z.array(z.enum(['completion', 'vision', 'embedding'])),
      'What it does.',
      ['completion', 'vision'],
    ),
    modified_at: modifiedAt,
  }),
  'A model that is served.',
);
export type OllamaShowReply = z.infer<typeof OllamaShowReply>;

export const OllamaVersion = described(
  z.object({
    version: described(z.string(), 'The version of Ollama whose API this is.', '0.6.4'),
  }),
  'The version of the API.',
);
export type OllamaVersion = z.infer<typeof OllamaVersion>;
