/** `/v1/files`: what batches, jobs and conversations read is uploaded, listed, read and deleted. What batches wrote is read here, too. */
import { ApiError } from '@blip2/shared/errors';
import {
  FILE_PURPOSES,
  MAX_FILE_PAGE,
  type OpenAiFile,
  type OpenAiFileDeleted,
  type OpenAiFileList,
  OpenAiFileQuery,
} from '@blip2/shared/schemas/openai/files';
import type { Dependencies } from '../../dependencies.ts';
import { bucketStream, RANGE_BYTES } from '../../http/bucket-stream.ts';
import { readQuery } from '../../http/read-query.ts';
import { fileKey, type JobFile, type PageOrder } from '../../jobs/job-index-contract.ts';
import type { AppContext, Handler, IsThere } from '../../routes/app-context.ts';
import { bucketOf, mayList, type Owner, ownerOf, ownerOfFile } from '../../routes/jobs/owner.ts';
import { inSeconds } from '../../routes/jobs/present.ts';
import { streamed } from '../../routes/jobs/rendered-lines.ts';
import { holdReply, storedJson } from '../../routes/large-reply.ts';
import { findBatchFile, shownBatchFile } from './batch-files.ts';
import { uploadFile } from './upload-file.ts';

const NOT_STORED = { 'cache-control': 'no-store' };
/** Of whoever sent it: nothing that a browser would show. */
const BYTES = {
  'content-type': 'application/octet-stream',
  'content-disposition': 'attachment',
  ...NOT_STORED,
};
const PREFIX = 'file-';

export const createOpenAiFile: Handler = async (c, deps) => {
  const file = await uploadFile(c, deps, ownerOf(c, deps));
  c.get('onNamed')?.(file.id);
  return c.json(shownFile(file), 200, NOT_STORED);
};

export const hasOpenAiFile: IsThere = async (c, deps, id) =>
  (await ownerOf(c, deps).index.findFile(id)) !== null;

export const listOpenAiFiles: Handler = async (c, deps) => {
  const { after, limit = MAX_FILE_PAGE, order, purpose } = readQuery(c.req.url, OpenAiFileQuery);
  const owner = ownerOf(c, deps);
  const asked = FILE_PURPOSES.find((known) => known === purpose);
  const isAsked = purpose === undefined || asked !== undefined;
  const page: PageOrder = {
    after: after?.replace(PREFIX, '') ?? null,
    limit: Math.min(limit, MAX_FILE_PAGE),
    oldestFirst: order === 'asc',
  };
  const found =
    isAsked && mayList(c, deps)
      ? await owner.index.listFiles(page, asked ?? null)
      : { entries: [], hasMore: false };
  if (found === null) {
    throw new ApiError('invalid-request', 'after: is no file of yours.', { field: 'after' });
  }
  const list: OpenAiFileList = listOf(found.entries.map(shownFile), found.hasMore);
  return await storedJson(c, deps, list);
};

export const getOpenAiFile: Handler = async (c, deps) => {
  const written = await findBatchFile(c, deps, c.req.param('file_id') ?? '');
  if (written !== null) return c.json(await shownBatchFile(written), 200, NOT_STORED);
  const { file } = await uploadedFile(c, deps, c.req.param('file_id') ?? '');
  return c.json(shownFile(file), 200, NOT_STORED);
};

export const readOpenAiFile: Handler = async (c, deps) => {
  const written = await findBatchFile(c, deps, c.req.param('file_id') ?? '');
  if (written !== null) {
    const { lines, sending } = written.held();
    return new Response(await streamed(lines, sending), { headers: BYTES });
  }
  const { file } = await uploadedFile(c, deps, c.req.param('file_id') ?? '');
  const { bytes } = file;
  const reading = { bytes, ...holdReply(c, deps.config, Math.min(bytes, RANGE_BYTES)) };
  const body = await bucketStream(bucketOf(deps), fileKey(file.id), reading);
  if (body === null) throw noFile();
  return new Response(body, { headers: BYTES });
};

export const deleteOpenAiFile: Handler = async (c, deps) => {
  const written = await findBatchFile(c, deps, c.req.param('file_id') ?? '');
  if (written !== null) {
    await written.remove();
    const deleted: OpenAiFileDeleted = { id: written.shownId, object: 'file', deleted: true };
    return c.json(deleted, 200, NOT_STORED);
  }
  const { file, owner } = await uploadedFile(c, deps, c.req.param('file_id') ?? '');
  if (!(await owner.index.deleteFile(file.id))) throw noFile();
  const deleted: OpenAiFileDeleted = { id: `${PREFIX}${file.id}`, object: 'file', deleted: true };
  return c.json(deleted, 200, NOT_STORED);
};

/** Of an id as clients have it; empty where it is none. */
export function idOfFile(shownId: string): string {
  return shownId.startsWith(PREFIX) ? shownId.slice(PREFIX.length) : '';
}

/** A file by its id as clients have it. @throws ApiError `not-found` that names the field, where it is one */
export async function uploadedFile(
  c: AppContext,
  deps: Dependencies,
  shownId: string,
  field?: string,
): Promise<{ file: JobFile; owner: Owner }> {
  const id = idOfFile(shownId);
  const owner = ownerOfFile(c, deps, id);
  const file = owner && (await owner.index.findFile(id));
  if (owner === null || file === null) throw noFile(field);
  return { file, owner };
}

/** The lines of a batch or a job. @throws ApiError `not-found`, `invalid-request` where it is an image */
export async function uploadedLines(
  c: AppContext,
  deps: Dependencies,
  shownId: string,
  field: string,
): Promise<JobFile> {
  const { file } = await uploadedFile(c, deps, shownId, field);
  const { purpose = 'batch' } = file;
  if (purpose === 'batch') return file;
  const detail = `${field}: this file was uploaded with the purpose ${purpose}: upload the lines with the purpose batch.`;
  throw new ApiError('invalid-request', detail, { field });
}

export function noFile(field?: string): ApiError {
  const where = field === undefined ? '' : `${field}: `;
  const detail = `${where}There is no such file: it has expired, was deleted, or its key is another.`;
  return new ApiError('not-found', detail, field === undefined ? {} : { field });
}

/** A page as OpenAI's clients read it. */
export function listOf<Entry extends { id: string }>(data: Entry[], has_more: boolean) {
  const [first_id, last_id] = [data.at(0)?.id ?? null, data.at(-1)?.id ?? null];
  return { object: 'list' as const, data, first_id, last_id, has_more };
}

function shownFile({
  id,
  name,
  bytes,
  purpose = 'batch',
  createdAt,
  expiresAt,
}: JobFile): OpenAiFile {
  return {
    id: `${PREFIX}${id}`,
    object: 'file',
    bytes,
    created_at: inSeconds(createdAt),
    expires_at: inSeconds(expiresAt),
    filename: name,
    purpose,
    status: 'processed',
  };
}
