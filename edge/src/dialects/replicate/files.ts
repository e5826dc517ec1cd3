/** Files: clients upload the image of a prediction first, and name it by its address. */
import { imagePathOf } from '@blip2/shared/cache-key';
import { ApiError } from '@blip2/shared/errors';
import { endOf, expectWhole } from '@blip2/shared/image-end';
import { checkImage, sniff } from '@blip2/shared/image-format';
import { imageIdOf } from '@blip2/shared/image-id';
import type { ReplicateFileList } from '@blip2/shared/schemas/replicate/file';
import type { Dependencies } from '../../dependencies.ts';
import { parseJsonBytes } from '../../http/json-body.ts';
import type { Part } from '../../http/multipart.ts';
import { readParts } from '../../http/request-body.ts';
import { sentStreamOf } from '../../http/stream.ts';
import { type NewFile, type StoredFile, valueFrom } from '../../predictions/contract.ts';
import { noFile } from '../../predictions/file-image.ts';
import { objectIdOf } from '../../predictions/ids.ts';
import {
  type AppContext,
  clientIn,
  type Handler,
  type IsThere,
  readingOf,
  requestContextOf,
  senderOf,
} from '../../routes/app-context.ts';
import { holdReply, storedJson } from '../../routes/large-reply.ts';
import { resultReads } from '../../turns/bulk-reads.ts';
import { mayList, objectOf, ownObject, publicBase, signedObject, visitorIn } from './objects.ts';
import { shownFile } from './present.ts';

const NOT_STORED = { 'cache-control': 'no-store' };
const MAX_NAME_LENGTH = 255;
const MAX_METADATA_BYTES = 4096;
/** Of a download, read in one turn. */
const PIECE_BYTES = 2 ** 18;
/** That which is sent, and what the object has read ahead. */
const HELD_PIECES = 2;

export const createFile: Handler = async (c, deps) => {
  const object = ownObject(c, deps);
  const parts = await readParts(c.req.raw, readingOf(c, deps));
  const { namespace } = requestContextOf(c, deps);
  const { address } = senderOf(c, deps.config);
  const image = await imageOf(parts, namespace, deps.config.maxImageBytes);
  const file = await object.putFile({ ...image, address });
  c.get('onNamed')?.(file.id);
  return c.json(shownFile(file, publicBase(c, deps)), 201, NOT_STORED);
};

/** @throws ApiError `no-image`, and what is wrong with the image or the metadata */
async function imageOf(
  parts: readonly Part[],
  namespace: string,
  maxBytes: number,
): Promise<Omit<NewFile, 'address'>> {
  const content = parts.find(({ name }) => name === 'content');
  if (content === undefined || content.bytes.length === 0) {
    const detail = 'content: is required: send the image as the file of this name in the form.';
    throw new ApiError('no-image', detail, { field: 'content' });
  }
  // Of the form's memory, which holds the whole body.
  const bytes = content.bytes.slice();
  checkImage(bytes, { maxBytes, field: 'content' });
  expectWhole(endOf(bytes), 'content');
  const sniffed = sniff(bytes);
  const type = sniffed.kind === 'image' ? `image/${sniffed.format}` : 'application/octet-stream';
  const name = (content.filename ?? 'image').slice(0, MAX_NAME_LENGTH);
  const sha256 = await imageIdOf(bytes);
  const image = imagePathOf(namespace, sha256);
  return { name, type, sha256, image, metadata: metadataOf(parts), bytes };
}

function metadataOf(parts: readonly Part[]): string {
  const field = 'metadata';
  const part = parts.find(({ name }) => name === field);
  if (part === undefined || part.bytes.length === 0) return '{}';
  if (part.bytes.length > MAX_METADATA_BYTES) {
    const limits = { field, limit: MAX_METADATA_BYTES, actual: part.bytes.length };
    const detail = `${field}: must have at most ${MAX_METADATA_BYTES} bytes.`;
    throw new ApiError('invalid-request', detail, limits);
  }
  const value = parseJsonBytes(part.bytes, part.charset, field);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new ApiError('invalid-request', `${field}: must be an object of JSON.`, { field });
  }
  return JSON.stringify(value);
}

export const hasFile: IsThere = async (c, deps, id) =>
  ((await objectOf(c, deps, id)?.findFile(id)) ?? null) !== null;

export const getFile: Handler = async (c, deps) => {
  const id = c.req.param('file_id') ?? '';
  const object = objectOf(c, deps, id);
  const file = object && (await object.findFile(id));
  if (file === null) throw unknown();
  return c.json(shownFile(file, publicBase(c, deps)), 200, NOT_STORED);
};

export const listFiles: Handler = async (c, deps) => {
  const files: StoredFile[] = mayList(c) ? await ownObject(c, deps).listFiles() : [];
  const base = publicBase(c, deps);
  const results = files.map((file) => shownFile(file, base));
  const list: ReplicateFileList = { previous: null, next: null, results };
  return await storedJson(c, deps, list);
};

export const deleteFile: Handler = async (c, deps) => {
  const id = c.req.param('file_id') ?? '';
  const object = objectOf(c, deps, id);
  if (object === null || !(await object.deleteFile(id))) throw unknown();
  return c.body(null, 204, NOT_STORED);
};

export const downloadFile: Handler = async (c, deps) => {
  const id = c.req.param('file_id') ?? '';
  const object = signedObject(deps, id);
  const visitor = visitorIn(c, deps);
  if (c.req.raw.method === 'HEAD') {
    // Its body is dropped: it takes no reader's place, and nothing is read.
    const file = await object?.findFile(id);
    if (!file || file.token !== visitor.token) throw unknown('or this URL is not whole');
    return c.body(null, 200, downloadHeaders(file));
  }
  const sending = holdReply(c, deps.config, HELD_PIECES * PIECE_BYTES);
  try {
    const found = await object?.downloadFile(id, visitor);
    if (!found) throw unknown('or this URL is not whole');
    const { file, bytes } = valueFrom(found);
    const pieces = byTurns(bytes, file.size, clientIn(c, deps.config));
    const body = await sentStreamOf(pieces, file.size, sending);
    return c.body(body, 200, downloadHeaders(file));
  } catch (thrown) {
    sending.onEnd();
    throw thrown;
  }
};

function downloadHeaders({ type }: Pick<StoredFile, 'type'>) {
  return { 'content-type': type, 'content-disposition': 'attachment', ...NOT_STORED };
}

/** Nobody waits for an end of it: whoever has the URL may open it as often as that may be, and all read the same disk. */
async function* byTurns(
  bytes: ReadableStream<Uint8Array>,
  size: number,
  client: string,
): AsyncGenerator<Uint8Array, void, undefined> {
  const reader = bytes.getReader({ mode: 'byob' });
  try {
    for (let left = size; left > 0; ) {
      const length = Math.min(left, PIECE_BYTES);
      const read = () => reader.readAtLeast(length, new Uint8Array(length));
      const { value } = await resultReads.run(client, read);
      if (!value || value.length === 0) return;
      left -= value.length;
      yield value;
    }
  } finally {
    await reader.cancel();
  }
}

/** Others are images, or are refused. */
const LONGEST_ADDRESS = 2 ** 14;
const ADDRESS =
  /^https?:\/\/[^/?#]+(?:\/[^?#]*)?\/replicate\/v1\/files\/([0-9a-f]+)(?:\/download)?(?:[?#].*)?$/;

/**
 * The file whose address a text is, under whichever name this service is reached; null where it is another address.
 * @throws ApiError `image-url-failed` where it is a file of this service that this caller does not have
 */
export async function uploadedFile(
  c: AppContext,
  deps: Dependencies,
  text: string,
  field: string,
): Promise<StoredFile | null> {
  if (text.length > LONGEST_ADDRESS) return null;
  const [, id = ''] = ADDRESS.exec(text.trim()) ?? [];
  if (id === '' || deps.predictions === undefined) return null;
  if (objectIdOf(deps.predictions, id) === null) return null;
  const file = await objectOf(c, deps, id)?.findFile(id);
  if (file) return file;
  throw noFile(field);
}

function unknown(orElse = 'or its key is another'): ApiError {
  const detail = `There is no such file: an hour has passed since it came, newer ones took its room, it or its image was deleted, ${orElse}.`;
  return new ApiError('not-found', detail);
}
