/** The routes of Replicate's API, for the app and for the OpenAPI document. */
import { described } from '@blip2/shared/schemas/described';
import {
  BodyHeaders,
  CommonHeaders,
  PredictionHeaders,
  ResumableHeaders,
} from '@blip2/shared/schemas/headers';
import { FilePath } from '@blip2/shared/schemas/replicate/file';
import { ModelPath, VersionPath } from '@blip2/shared/schemas/replicate/model';
import { ListQuery, PredictionPath, SignedQuery } from '@blip2/shared/schemas/replicate/prediction';
import * as z from 'zod/mini';
import { JSON_REQUEST } from '../../routes/problem-lists.ts';
import type { Route } from '../../routes/route.ts';
import { createFile, deleteFile, downloadFile, getFile, hasFile, listFiles } from './files.ts';
import { getAccount, getModel, getVersion, listModels, listVersions } from './models.ts';
import {
  cancelPrediction,
  createPrediction,
  createPredictionOfModel,
  getPrediction,
  hasPrediction,
  listPredictions,
  streamPrediction,
} from './predictions.ts';

const BASE = '/replicate/v1';
const common = {
  tag: 'replicate',
  errors: 'replicate',
  headers: ['cache-control'],
} as const;
const reading = { ...common, method: 'GET' } as const;
/** What is the same for everybody who may ask. */
const describing = { ...reading, headers: [] } as const;

const CREATED = `The prediction is made whether or not anybody waits for it; \`Prefer: wait\` holds the reply back until its end. The same request within seconds is the
same prediction, since its clients send again at once what breaks off: give a \`seed\` to sample several times. What is wrong with the image's address or while
the text is written is the \`error\` of a prediction that \`failed\`.`;

const creating = {
  ...common,
  method: 'POST',
  status: 201,
  summary: 'Create a prediction',
  request: { json: 'PredictionRequest' },
  reply: { 'application/json': ['Prediction'] },
  replies: {
    202: {
      description: 'It has not ended in the time of `Prefer: wait`: poll it.',
      headers: ['cache-control'],
      reply: { 'application/json': ['Prediction'] },
    },
  },
  problems: [
    ...JSON_REQUEST,
    'deadline-exceeded',
    'model-not-found',
    'overloaded',
    'prompt-too-long',
    'too-many-requests',
    'unsupported-parameter',
    'not-configured',
  ],
} satisfies Partial<Route>;

/** Everything else that asks an object. */
const OF_OBJECT = ['not-found', 'not-configured'] as const;

export const REPLICATE_ROUTES: readonly Route[] = [
  {
    ...creating,
    path: `${BASE}/predictions`,
    handler: createPrediction,
    isThere: hasPrediction,
    operationId: 'createPrediction',
    description: `By version: of the model that is served, or one of those that BLIP-2 has on Replicate. ${CREATED}`,
    parameters: { header: PredictionHeaders },
  },
  {
    ...creating,
    path: `${BASE}/models/{owner}/{name}/predictions`,
    handler: createPredictionOfModel,
    isThere: hasPrediction,
    operationId: 'createPredictionOfModel',
    description: `By the name of the model: \`salesforce/blip-2\`, or one that \`${BASE}/models\` lists. ${CREATED}`,
    parameters: { path: ModelPath, header: PredictionHeaders },
  },
  {
    ...reading,
    path: `${BASE}/predictions`,
    handler: listPredictions,
    operationId: 'listPredictions',
    summary: 'List the predictions of a key',
    description:
      'The newest first, by pages. Where no key is needed the list is empty: an address may be that of many.',
    parameters: { query: ListQuery, header: CommonHeaders },
    reply: { 'application/json': ['PredictionList'] },
    problems: ['invalid-request', 'not-configured', 'too-many-requests'],
  },
  {
    ...reading,
    path: `${BASE}/predictions/{prediction_id}`,
    handler: getPrediction,
    operationId: 'getPrediction',
    summary: 'Read a prediction',
    description:
      'For the key that created it; where no key is needed, for whoever has its id. It is deleted an hour after it was created.',
    parameters: { path: PredictionPath, header: CommonHeaders },
    reply: { 'application/json': ['Prediction'] },
    problems: OF_OBJECT,
  },
  {
    ...common,
    method: 'POST',
    path: `${BASE}/predictions/{prediction_id}/cancel`,
    handler: cancelPrediction,
    isThere: hasPrediction,
    operationId: 'cancelPrediction',
    summary: 'Cancel a prediction',
    description: 'Ends its work. One that has ended stays as it is.',
    parameters: { path: PredictionPath, header: BodyHeaders },
    reply: { 'application/json': ['Prediction'] },
    problems: OF_OBJECT,
  },
  {
    ...reading,
    isSigned: true,
    path: `${BASE}/stream/{prediction_id}`,
    handler: streamPrediction,
    operationId: 'streamPrediction',
    summary: 'Read a prediction while it is made',
    description:
      'The URL is `urls.stream` of a prediction: it needs no key, and is good as long as the prediction is stored. When its last reader has left for a second, and nobody has asked for the prediction since, the prediction is canceled.',
    parameters: { path: PredictionPath, query: SignedQuery, header: ResumableHeaders },
    reply: { 'text/event-stream': 'prediction-events' },
    problems: [...OF_OBJECT, 'too-many-requests'],
  },
  {
    ...common,
    method: 'POST',
    status: 201,
    path: `${BASE}/files`,
    handler: createFile,
    isThere: hasFile,
    operationId: 'createFile',
    summary: 'Upload an image',
    description:
      'For predictions of the next hour: `input.image` is then `urls.get`. A caller has 64 files and 64 MiB of them; the oldest make room.',
    parameters: { header: BodyHeaders },
    request: {
      file: 'content',
      fields: z.object({
        metadata: described(
          z.optional(z.record(z.string(), z.unknown())),
          'An object of JSON, 4 KiB at most, which replies repeat.',
          {},
        ),
      }),
    },
    reply: { 'application/json': ['ReplicateFile'] },
    problems: [
      'invalid-request',
      'invalid-json',
      'invalid-multipart',
      'invalid-content-encoding',
      'no-image',
      'invalid-image',
      'image-too-large',
      'body-too-large',
      'unsupported-media-type',
      'unsupported-content-encoding',
      'deadline-exceeded',
      'too-many-requests',
      'overloaded',
      'not-configured',
    ],
  },
  {
    ...reading,
    path: `${BASE}/files`,
    handler: listFiles,
    operationId: 'listFiles',
    summary: 'List the files of a key',
    description: 'The newest first. Where no key is needed the list is empty.',
    parameters: { header: CommonHeaders },
    reply: { 'application/json': ['ReplicateFileList'] },
    problems: ['not-configured', 'too-many-requests'],
  },
  {
    ...reading,
    path: `${BASE}/files/{file_id}`,
    handler: getFile,
    operationId: 'getFile',
    summary: 'Read what is known of a file',
    description: 'For the key that uploaded it; where no key is needed, for whoever has its id.',
    parameters: { path: FilePath, header: CommonHeaders },
    reply: { 'application/json': ['ReplicateFile'] },
    problems: OF_OBJECT,
  },
  {
    ...common,
    method: 'DELETE',
    status: 204,
    path: `${BASE}/files/{file_id}`,
    handler: deleteFile,
    operationId: 'deleteFile',
    summary: 'Delete a file',
    description: 'For whoever may read it.',
    parameters: { path: FilePath, header: CommonHeaders },
    reply: {},
    problems: OF_OBJECT,
  },
  {
    ...reading,
    isSigned: true,
    path: `${BASE}/files/{file_id}/download`,
    handler: downloadFile,
    operationId: 'downloadFile',
    summary: 'Read the bytes of a file',
    description: 'The URL is `urls.download` of the file: it needs no key.',
    parameters: { path: FilePath, query: SignedQuery, header: CommonHeaders },
    reply: Object.fromEntries(
      ['jpeg', 'png', 'webp', 'gif', 'avif'].map((format) => [`image/${format}`, 'binary']),
    ),
    problems: [...OF_OBJECT, 'too-many-requests'],
  },
  {
    ...describing,
    path: `${BASE}/models`,
    handler: listModels,
    operationId: 'listModelNames',
    summary: 'List the names under which the model is run',
    description: 'Its own, and those that BLIP-2 has on Replicate.',
    parameters: { header: CommonHeaders },
    reply: { 'application/json': ['ReplicateModelList'] },
    problems: [],
  },
  {
    ...describing,
    path: `${BASE}/models/{owner}/{name}`,
    handler: getModel,
    operationId: 'getModel',
    summary: 'Tell whether a model is served',
    description: 'With the version that is.',
    parameters: { path: ModelPath, header: CommonHeaders },
    reply: { 'application/json': ['ReplicateModel'] },
    problems: ['model-not-found'],
  },
  {
    ...describing,
    path: `${BASE}/models/{owner}/{name}/versions`,
    handler: listVersions,
    operationId: 'listVersions',
    summary: 'List the versions of a model',
    description: 'There is one, with the schema of its input.',
    parameters: { path: ModelPath, header: CommonHeaders },
    reply: { 'application/json': ['ReplicateVersionList'] },
    problems: ['model-not-found'],
  },
  {
    ...describing,
    path: `${BASE}/models/{owner}/{name}/versions/{version}`,
    handler: getVersion,
    operationId: 'getVersion',
    summary: 'Tell whether a version is served',
    description: 'Those that BLIP-2 has on Replicate are, by the model that is served here.',
    parameters: { path: VersionPath, header: CommonHeaders },
    reply: { 'application/json': ['ReplicateVersion'] },
    problems: ['model-not-found'],
  },
  {
    ...describing,
    path: `${BASE}/account`,
    handler: getAccount,
    operationId: 'getAccount',
    summary: 'Tell whose key it is',
    description: 'By the name that the operator gave it.',
    parameters: { header: CommonHeaders },
    reply: { 'application/json': ['ReplicateAccount'] },
    problems: [],
  },
];
