/** The routes of jobs, for the app and for the OpenAPI document. */
import { BodyHeaders, CommonHeaders, ResultHeaders } from '@blip2/shared/schemas/headers';
import { JobPath } from '@blip2/shared/schemas/jobs/job';
import { JobDeleteQuery, JobQuery, JobResultsQuery } from '@blip2/shared/schemas/jobs/query';
import { JobOptions } from '@blip2/shared/schemas/jobs/request';
import * as z from 'zod/mini';
import { JSON_BODY } from '../problem-lists.ts';
import type { Route } from '../route.ts';
import { createJob } from './create-job.ts';
import { deleteJob } from './delete-job.ts';
import { hasJob } from './job-access.ts';
import { readDeliveries, readJob, readJobs, watchJob } from './read-jobs.ts';
import { readResults } from './results.ts';
import { retryFailed } from './retry-failed.ts';

const common = { tag: 'jobs', headers: ['cache-control'] } as const;
const reading = { ...common, method: 'GET' } as const;
const OF_JOB = ['not-found', 'jobs-unavailable'] as const;
const CREATING = ['storage-full', 'jobs-unavailable'] as const;

export const JOB_ROUTES: readonly Route[] = [
  {
    ...common,
    method: 'POST',
    path: '/v1/jobs',
    handler: createJob,
    isThere: hasJob,
    operationId: 'createJob',
    summary: 'Create a job',
    description:
      'Does one task for many images, when nobody waits for the GPU worker, each exactly once. Its items are in the request, in a file, in the operator’s bucket, or are the body: JSON lines, each an item, with all else in the query. With `dry_run` the reply is a JobEstimate, and nothing is run. What is wrong with a line of a file makes the job fail before anything runs; what is wrong with one image is an error of its item.',
    parameters: { query: z.partial(JobOptions), header: BodyHeaders },
    request: { json: 'JobRequest', orLines: 'JSON lines, each an item.' },
    status: 202,
    reply: { 'application/json': ['Job'] },
    headers: ['cache-control', 'location'],
    replies: {
      200: {
        description: 'What it would cost, for `dry_run`.',
        headers: ['cache-control'],
        reply: { 'application/json': ['JobEstimate'] },
      },
    },
    problems: [
      ...JSON_BODY,
      ...CREATING,
      'not-found',
      'unsupported-parameter',
      'deadline-exceeded',
      'too-many-requests',
      'overloaded',
    ],
  },
  {
    ...reading,
    path: '/v1/jobs',
    handler: readJobs,
    operationId: 'listJobs',
    summary: 'List jobs',
    description:
      'The newest first, by pages. Where no key is needed the list is empty: an address may be that of many.',
    parameters: { query: JobQuery, header: CommonHeaders },
    reply: { 'application/json': ['JobList'] },
    problems: ['invalid-request', 'jobs-unavailable', 'too-many-requests'],
  },
  {
    ...reading,
    path: '/v1/jobs/{job_id}',
    handler: readJob,
    operationId: 'getJob',
    summary: 'Read how a job is doing',
    description:
      'For the key that created it; where no key is needed, for whoever has its id. It is deleted 30 days after it would have expired.',
    parameters: { path: JobPath, header: CommonHeaders },
    reply: { 'application/json': ['Job'] },
    problems: [...OF_JOB, 'too-many-requests'],
  },
  {
    ...reading,
    path: '/v1/jobs/{job_id}/events',
    handler: watchJob,
    operationId: 'watchJob',
    summary: 'Watch a job',
    description:
      'Server-sent events: the job, as `progress`, each time that something of it has changed, and as `done` when it has ended. After an hour the stream ends: connect again.',
    parameters: { path: JobPath, header: CommonHeaders },
    reply: { 'text/event-stream': 'job-events' },
    problems: [...OF_JOB, 'too-many-requests'],
  },
  {
    ...reading,
    path: '/v1/jobs/{job_id}/results',
    handler: readResults,
    operationId: 'readJobResults',
    summary: 'Read the results of a job',
    description:
      'A line for each item that has ended, in the order of the input: JSON lines, or CSV by `format` or `Accept`. While the job runs, those that are there by now; once it has ended, all of them, with an `etag`, and JSON lines also in ranges of bytes.',
    parameters: { path: JobPath, query: JobResultsQuery, header: ResultHeaders },
    reply: { 'application/x-ndjson': 'result-lines', 'text/csv': 'text' },
    headers: ['cache-control', 'vary', 'etag', 'accept-ranges'],
    replies: {
      206: {
        description: 'The range of bytes that `Range` asks for.',
        headers: ['cache-control', 'vary', 'etag', 'accept-ranges', 'content-range'],
        reply: { 'application/x-ndjson': 'file', 'text/csv': 'file' },
      },
      304: { description: 'They are still the same.', headers: ['cache-control', 'etag', 'vary'] },
    },
    problems: [
      ...OF_JOB,
      'invalid-request',
      'not-acceptable',
      'job-not-ready',
      'range-not-satisfiable',
      'too-many-requests',
    ],
  },
  {
    ...reading,
    path: '/v1/jobs/{job_id}/deliveries',
    handler: readDeliveries,
    operationId: 'listJobDeliveries',
    summary: 'Read what was sent to the webhook of a job',
    description:
      'Each try, with the status of its reply and the time of the next one. A batch is read here, too.',
    parameters: { path: JobPath, header: CommonHeaders },
    reply: { 'application/json': ['JobDeliveryList'] },
    problems: [...OF_JOB, 'too-many-requests'],
  },
  {
    ...common,
    method: 'POST',
    path: '/v1/jobs/{job_id}/retry-failed',
    handler: retryFailed,
    isThere: hasJob,
    operationId: 'retryFailed',
    summary: 'Run the failed items of a job again',
    description:
      'Makes a new job of the items that failed or were not run, with the same settings and the same webhook, unless the body names another, or null for none. The job must have ended.',
    parameters: { path: JobPath, header: BodyHeaders },
    request: { json: 'RetryRequest', orNone: true },
    status: 202,
    reply: { 'application/json': ['Job'] },
    headers: ['cache-control', 'location'],
    problems: [
      ...JSON_BODY,
      ...OF_JOB,
      ...CREATING,
      'job-not-ready',
      'deadline-exceeded',
      'too-many-requests',
      'overloaded',
    ],
  },
  {
    ...common,
    method: 'DELETE',
    path: '/v1/jobs/{job_id}',
    handler: deleteJob,
    operationId: 'cancelJob',
    summary: 'Cancel a job, or delete one that has ended',
    description:
      'Runs no more of its items; those that have a result keep it. One that has ended stays as it is. With `purge` one that has ended is deleted, with its lines, images and results: the reply is a JobDeleted, and from then on there is no such job. An uploaded file that it read stays.',
    parameters: { path: JobPath, query: JobDeleteQuery, header: CommonHeaders },
    reply: { 'application/json': ['Job', 'JobDeleted'] },
    problems: [...OF_JOB, 'invalid-request', 'job-not-ready'],
  },
];
