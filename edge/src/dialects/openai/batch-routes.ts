/** The routes of OpenAI's files and batches, for the app and for the OpenAPI document. */
import { CommonHeaders } from '@blip2/shared/schemas/headers';
import {
  OpenAiFileFields,
  OpenAiFilePath,
  OpenAiFileQuery,
} from '@blip2/shared/schemas/openai/files';
import type { Route } from '../../routes/route.ts';
import {
  createOpenAiFile,
  deleteOpenAiFile,
  getOpenAiFile,
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
    operationId: 'createBatchFile',
    summary: 'Upload a file',
    description:
      'The lines of a batch or a job, for `purpose` `batch`. It is stored as it comes, and read when a batch is created from it.',
    parameters: { header: CommonHeaders },
    request: {
      file: 'file',
      content: { description: 'JSON lines.', example: LINE },
      fields: OpenAiFileFields,
    },
    reply: { 'application/json': ['OpenAiFile'] },
    problems: [
      'invalid-request',
      'invalid-multipart',
      'body-too-large',
      'unsupported-media-type',
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
    problems: ['invalid-request'],
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
    problems: ['not-found'],
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
    problems: ['not-found'],
  },
  {
    ...common,
    method: 'DELETE',
    path: '/v1/files/{file_id}',
    handler: deleteOpenAiFile,
    operationId: 'deleteBatchFile',
    summary: 'Delete a file',
    description: 'What a batch has read of it goes on.',
    parameters: { path: OpenAiFilePath, header: CommonHeaders },
    reply: { 'application/json': ['OpenAiFileDeleted'] },
    problems: ['not-found'],
  },
];
