/** The routes of OpenAI's files and batches, for the app and for the OpenAPI document. */
import { BodyHeaders, CommonHeaders, UploadHeaders } from '@blip2/shared/schemas/headers';
import { BatchQuery } from '@blip2/shared/schemas/jobs/query';
import { BatchPath } from '@blip2/shared/schemas/openai/batches';
import {
  OpenAiFileFields,
  OpenAiFilePath,
  OpenAiFileQuery,
} from '@blip2/shared/schemas/openai/files';
import { JSON_BODY } from '../../routes/problem-lists.ts';
import type { Route } from '../../routes/route.ts';
import { cancelBatch, createBatch, getBatch, hasBatch, listBatches } from './batches.ts';
import {
  createOpenAiFile,
  deleteOpenAiFile,
  getOpenAiFile,
  hasOpenAiFile,
  listOpenAiFiles,
  readOpenAiFile,
} from './files.ts';

const common = {
  tag: 'openai',
  errors: 'openai',
  headers: ['cache-control'],
} as const;
const reading = { ...common, method: 'GET' } as const;

/** A line of a batch. */
const LINE = JSON.stringify({
  custom_id: 'one',
  method: 'POST',
  url: '/v1/embeddings',
  body: { model: 'blip2-scenes', input: 'a pizza above an octopus' },
});

export const BATCH_ROUTES: readonly Route[] = [
  {
    ...common,
    method: 'POST',
    path: '/v1/files',
    handler: createOpenAiFile,
    isThere: hasOpenAiFile,
    operationId: 'createBatchFile',
    summary: 'Upload a file',
    description:
      'The lines of a batch or a job, for `purpose` `batch`: stored as they come, and read when a batch is created from them. Or an image, for `vision` or `user_data`, which conversations then name by its id.',
    parameters: { header: UploadHeaders },
    request: {
      file: 'file',
      content: { description: 'JSON lines, or an image.', example: LINE },
      fields: OpenAiFileFields,
    },
    reply: { 'application/json': ['OpenAiFile'] },
    problems: [
      'invalid-request',
      'invalid-multipart',
      'body-too-large',
      'unsupported-media-type',
      'no-image',
      'invalid-image',
      'unsupported-content-encoding',
      'deadline-exceeded',
      'too-many-requests',
      'overloaded',
      'storage-full',
    ],
  },
  {
    ...reading,
    path: '/v1/files',
    handler: listOpenAiFiles,
    operationId: 'listBatchFiles',
    summary: 'List files',
    description:
      'Those that were uploaded, by pages. Where no key is needed the list is empty: an address may be that of many.',
    parameters: { query: OpenAiFileQuery, header: CommonHeaders },
    reply: { 'application/json': ['OpenAiFileList'] },
    problems: ['invalid-request', 'too-many-requests'],
  },
  {
    ...reading,
    path: '/v1/files/{file_id}',
    handler: getOpenAiFile,
    operationId: 'getBatchFile',
    summary: 'Read what a file is',
    description:
      'For the key that uploaded it, or whose batch wrote it; where no key is needed, for whoever has its id.',
    parameters: { path: OpenAiFilePath, header: CommonHeaders },
    reply: { 'application/json': ['OpenAiFile'] },
    problems: ['not-found', 'too-many-requests'],
  },
  {
    ...reading,
    path: '/v1/files/{file_id}/content',
    handler: readOpenAiFile,
    operationId: 'readBatchFile',
    summary: 'Read a file',
    description: 'Its bytes.',
    parameters: { path: OpenAiFilePath, header: CommonHeaders },
    reply: { 'application/octet-stream': 'file' },
    problems: ['not-found', 'too-many-requests'],
  },
  {
    ...common,
    method: 'DELETE',
    path: '/v1/files/{file_id}',
    handler: deleteOpenAiFile,
    operationId: 'deleteBatchFile',
    summary: 'Delete a file',
    description:
      'What a batch has read of it goes on. With the files that a batch wrote its lines, images and results are deleted, once none of the two is left; what the batch says of itself stays.',
    parameters: { path: OpenAiFilePath, header: CommonHeaders },
    reply: { 'application/json': ['OpenAiFileDeleted'] },
    problems: ['not-found'],
  },
  {
    ...common,
    method: 'POST',
    path: '/v1/batches',
    handler: createBatch,
    isThere: hasBatch,
    operationId: 'createBatch',
    summary: 'Create a batch',
    description:
      'Runs each line of a file as a request, when nobody waits for the GPU worker, each exactly once. What is wrong with a line makes the batch fail before anything runs, and `errors` names it.',
    parameters: { header: BodyHeaders },
    request: { json: 'BatchRequest' },
    reply: { 'application/json': ['Batch'] },
    problems: [
      ...JSON_BODY,
      'not-found',
      'storage-full',
      'jobs-unavailable',
      'deadline-exceeded',
      'too-many-requests',
      'overloaded',
    ],
  },
  {
    ...reading,
    path: '/v1/batches',
    handler: listBatches,
    operationId: 'listBatches',
    summary: 'List batches',
    description:
      'The newest first, by pages. Where no key is needed the list is empty: an address may be that of many.',
    parameters: { query: BatchQuery, header: CommonHeaders },
    reply: { 'application/json': ['BatchList'] },
    problems: ['invalid-request', 'jobs-unavailable', 'too-many-requests'],
  },
  {
    ...reading,
    path: '/v1/batches/{batch_id}',
    handler: getBatch,
    operationId: 'getBatch',
    summary: 'Read how a batch is doing',
    description: 'Once it has ended, it names the files that it wrote.',
    parameters: { path: BatchPath, header: CommonHeaders },
    reply: { 'application/json': ['Batch'] },
    problems: ['not-found', 'jobs-unavailable', 'too-many-requests'],
  },
  {
    ...common,
    method: 'POST',
    path: '/v1/batches/{batch_id}/cancel',
    handler: cancelBatch,
    isThere: hasBatch,
    operationId: 'cancelBatch',
    summary: 'Cancel a batch',
    description:
      'Runs no more of its lines; what has a result stays in its output file. One that has ended stays as it is.',
    parameters: { path: BatchPath, header: BodyHeaders },
    reply: { 'application/json': ['Batch'] },
    problems: ['not-found', 'jobs-unavailable'],
  },
];
