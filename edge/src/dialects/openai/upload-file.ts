/** Reads the form with which OpenAI's clients upload a file, and stores the file as it comes. */
import { ApiError } from '@blip2/shared/errors';
import { MAX_FILE_SECONDS, OpenAiFileFields } from '@blip2/shared/schemas/openai/files';
import { shownName, validate } from '@blip2/shared/validate';
import type { Dependencies } from '../../dependencies.ts';
import { type FormEntry, fieldsFromForm } from '../../http/form-fields.ts';
import { parseHeaderValue } from '../../http/header-value.ts';
import { holdBody } from '../../http/held-bodies.ts';
import { type StreamedPart, streamParts } from '../../http/multipart-stream.ts';
import { readStream } from '../../http/read-stream.ts';
import { fileKey, type JobFile, LONGEST_UPLOAD_MS } from '../../jobs/job-index-contract.ts';
import { withLivingPlace } from '../../jobs/living-place.ts';
import { heldChunks, PART_BYTES, writeObject } from '../../jobs/object-writer.ts';
import { valueFrom } from '../../predictions/contract.ts';
import { type AppContext, clientIn } from '../../routes/app-context.ts';
import { bucketOf, type Owner, roomOf, storedMsOf } from '../../routes/jobs/owner.ts';
import { FileBytes } from './file-bytes.ts';

const MAX_NAME_LENGTH = 255;
const MAX_FIELD_BYTES = 256;

/**
 * @throws ApiError `invalid-request`, `invalid-multipart`, `body-too-large`, `unsupported-media-type`, `invalid-image`,
 *   `deadline-exceeded`, `too-many-requests`, `overloaded`, `storage-full`
 */
export async function uploadFile(
  c: AppContext,
  deps: Dependencies,
  { index }: Owner,
): Promise<JobFile> {
  const bucket = bucketOf(deps);
  const { config } = deps;
  const { value: type, parameters } = parseHeaderValue(c.req.raw.headers.get('content-type'));
  if (type !== 'multipart/form-data') {
    const detail = 'Send the file in a form, as multipart/form-data.';
    throw new ApiError('unsupported-media-type', detail);
  }
  const declared = Number(c.req.raw.headers.get('content-length') ?? Number.NaN);
  const maxBytes = config.jobsMaxFileBytes;
  // The form has other bytes, too, but not many.
  if (declared > maxBytes + PART_BYTES) throw fileTooLarge(maxBytes, declared);
  const { beyond } = roomOf(c, deps);
  const held = holdBody(config.maxHeldBytes, {
    client: clientIn(c, config),
    ms: LONGEST_UPLOAD_MS,
    signal: c.req.raw.signal,
    kind: 'upload',
  });
  const { id } = valueFrom(await index.reserveFile(beyond));
  try {
    return await withLivingPlace(
      () => index.renewFile(id),
      async () => {
        const entries: FormEntry[] = [];
        let file: { name: string; bytes: number } | undefined;
        const noted = new FileBytes(config.maxImageBytes);
        // Of the file alone there may be as many.
        const most = maxBytes + PART_BYTES;
        const body = heldChunks(readStream(c.req.raw, config.deadlineMs, most), held);
        for await (const part of streamParts(body, parameters.get('boundary'))) {
          if (part.name !== 'file') entries.push([part.name, await fieldOf(part)]);
          else if (file !== undefined) {
            const detail = 'file: is given twice: send one file with each request.';
            throw new ApiError('invalid-request', detail, { field: 'file' });
          } else {
            const { bytes } = await writeObject(bucket, fileKey(id), noted.passing(part.body), {
              maxBytes,
              uploads: index,
              beyond,
            });
            file = { name: (part.filename || 'file').slice(0, MAX_NAME_LENGTH), bytes };
          }
        }
        const fields = validate(OpenAiFileFields, fieldsFromForm(entries, OpenAiFileFields));
        if (file === undefined || file.bytes === 0) {
          const detail =
            file === undefined
              ? 'file: is required: send JSON lines, or an image, as the file of this name in the form.'
              : 'file: is empty: send at least one line, or an image.';
          throw new ApiError('invalid-request', detail, { field: 'file' });
        }
        const { purpose } = fields;
        if (purpose !== 'batch') noted.expectImage('file');
        const sha256 = noted.imageId();
        const seconds = fields.expires_after?.seconds ?? MAX_FILE_SECONDS;
        const storedMs = storedMsOf(c, deps, 1000 * seconds);
        const stored = { id, ...file, purpose, ...(sha256 !== null && { sha256 }) };
        return valueFrom(await index.putFile(stored, storedMs, beyond));
      },
    );
  } catch (thrown) {
    // Not waited for, nor needed: the place expires, and all that is in it.
    c.executionCtx.waitUntil(index.deleteFile(id).catch(() => {}));
    throw thrown;
  } finally {
    held.close();
  }
}

async function fieldOf({ name, filename, body }: StreamedPart): Promise<string> {
  const field = shownName(name);
  if (filename !== undefined) {
    const detail = `${field}: a file of this name is not read; its name in the form is file.`;
    throw new ApiError('invalid-request', detail, { field });
  }
  const decoder = new TextDecoder();
  let text = '';
  for await (const chunk of body) {
    text += decoder.decode(chunk, { stream: true });
    if (text.length <= MAX_FIELD_BYTES) continue;
    const detail = `${field}: has more than ${MAX_FIELD_BYTES} characters.`;
    throw new ApiError('invalid-request', detail, { field, limit: MAX_FIELD_BYTES });
  }
  return text + decoder.decode();
}

function fileTooLarge(limit: number, actual: number): ApiError {
  const detail = `file: at most ${limit} bytes are accepted: make several files of it.`;
  return new ApiError('body-too-large', detail, { field: 'file', limit, actual });
}
