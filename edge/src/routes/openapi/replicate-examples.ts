/** Examples of requests and replies in Replicate's form: what the embedded model says of an image of the repository. */
import type * as z from 'zod/mini';
import type { Examples } from './openai-examples.ts';
import type { SCHEMAS } from './schemas.ts';

type Input<Name extends keyof typeof SCHEMAS> = z.input<(typeof SCHEMAS)[Name]>;
type ExamplesOf<Name extends keyof typeof SCHEMAS> = { [N in Name]: Examples<Input<N>> };

const BASE = 'https://blip2.example/replicate/v1';
const sha256 = 'f4112ab67441c8c64f31bf11d8bb81a051ae8e292af3bca8e4862cd950ecf70f';
/** 32 digits at random, and 64 of the object. */
const id = `3f0c9d1e5a7b48c2${'9'.repeat(16)}${'0123456789abcdef'.repeat(4)}`;
const token = '9a'.repeat(16);
const image = 'https://images.example.org/pizza-and-octopus.webp';
const question = 'what is above the octopus?';
const created_at = '2026-11-27T12:00:00.000Z';

const prediction: Input<'Prediction'> = {
  id,
  model: 'salesforce/blip-2',
  version: '0f1e2d3c4b5a6978',
  status: 'succeeded',
  input: { image, question },
  output: 'a pizza',
  error: null,
  logs: '',
  created_at,
  started_at: '2026-11-27T12:00:00.031Z',
  completed_at: '2026-11-27T12:00:00.090Z',
  data_removed: false,
  source: 'api',
  metrics: { predict_time: 0.059, total_time: 0.09 },
  urls: {
    get: `${BASE}/predictions/${id}`,
    cancel: `${BASE}/predictions/${id}/cancel`,
    stream: `${BASE}/stream/${id}?token=${token}`,
  },
};

const starting: Input<'Prediction'> = {
  ...prediction,
  status: 'starting',
  output: null,
  started_at: null,
  completed_at: null,
  metrics: {},
};

const file: Input<'ReplicateFile'> = {
  id,
  name: 'pizza-and-octopus.webp',
  content_type: 'image/webp',
  size: 8192,
  etag: sha256,
  checksums: { sha256 },
  metadata: {},
  created_at,
  expires_at: '2026-11-27T13:00:00.000Z',
  urls: { get: `${BASE}/files/${id}`, download: `${BASE}/files/${id}/download?token=${token}` },
};

const version: Input<'ReplicateVersion'> = {
  id: '0f1e2d3c4b5a6978',
  created_at: '1970-01-01T00:00:00Z',
  cog_version: '0.9.0',
  openapi_schema: { openapi: '3.0.2', components: { schemas: { Output: { type: 'string' } } } },
};

const model: Input<'ReplicateModel'> = {
  url: `${BASE}/models/salesforce/blip-2`,
  owner: 'salesforce',
  name: 'blip-2',
  description: 'blip2-scenes: captions images and answers questions about them.',
  visibility: 'public',
  run_count: 0,
  latest_version: version,
};

const page = { previous: null, next: null };

export const REPLICATE_EXAMPLES: ExamplesOf<
  | 'Prediction'
  | 'PredictionList'
  | 'PredictionRequest'
  | 'ReplicateAccount'
  | 'ReplicateError'
  | 'ReplicateFile'
  | 'ReplicateFileList'
  | 'ReplicateModel'
  | 'ReplicateModelList'
  | 'ReplicateVersion'
  | 'ReplicateVersionList'
> = {
  PredictionRequest: {
    question: {
      summary: 'A question about an image that was sent before',
      value: { input: { image: sha256, question } },
    },
    caption: {
      summary: 'A caption, by beam search',
      value: { input: { image: sha256, caption: true, num_beams: 4 } },
    },
  },
  Prediction: {
    succeeded: { summary: 'One that has ended', value: prediction },
    starting: { summary: 'One that has not', value: starting },
  },
  PredictionList: { list: { summary: 'One of them', value: { ...page, results: [prediction] } } },
  ReplicateFile: { file: { summary: 'An image', value: file } },
  ReplicateFileList: { list: { summary: 'One of them', value: { ...page, results: [file] } } },
  ReplicateModel: { model: { summary: 'The model that is served', value: model } },
  ReplicateModelList: {
    list: { summary: 'One of its names', value: { ...page, results: [model] } },
  },
  ReplicateVersion: { version: { summary: 'The version that is served', value: version } },
  ReplicateVersionList: { list: { summary: 'All', value: { ...page, results: [version] } } },
  ReplicateAccount: {
    account: { summary: 'A key', value: { type: 'user', username: 'alice', name: 'alice' } },
  },
  ReplicateError: {
    invalid: {
      summary: 'A member that is out of its range',
      value: {
        type: '/problems/invalid-request',
        title: 'The request is not valid',
        status: 422,
        detail: 'input.temperature: must be at most 2.',
        field: 'input.temperature',
      },
    },
  },
};

export const REPLICATE_EVENT_EXAMPLES: Record<'prediction-events', Examples<string>> = {
  'prediction-events': {
    replicate: {
      summary: 'Written to its end',
      value:
        'id: 1\nevent: output\ndata: a\n\nid: 2\nevent: output\ndata:  pizza\n\nid: 3\nevent: done\ndata: {}\n\n',
    },
  },
};
