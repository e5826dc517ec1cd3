/** Images of messages in OpenAI's forms: by their address, or as files that were uploaded before. */
import { ApiError } from '@blip2/shared/errors';
import { imageIdOf } from '@blip2/shared/image-id';
import type { Dependencies } from '../../dependencies.ts';
import { inflatingCost } from '../../http/body-costs.ts';
import { holdBody } from '../../http/held-bodies.ts';
import { type ImageSource, type StoredImage, sourceFromText } from '../../image/image-source.ts';
import { fileKey, type JobFile } from '../../jobs/job-index-contract.ts';
import { type AppContext, clientIn } from '../../routes/app-context.ts';
import { bucketOf } from '../../routes/jobs/owner.ts';
import type { MessageImage } from '../conversation.ts';
import { noFile, uploadedFile } from './files.ts';

/** What a part has: one of them. */
type Named = Readonly<Record<string, string | null | undefined>>;

/** The member that is the id of a file; all others are addresses. */
const FILE_ID = 'file_id';

/**
 * The image that a part names.
 * @param field of the part
 * @throws ApiError `no-image` or `several-images` where it names none, or more than one
 * @example imageOfPart({ file_id: 'file-3f0c…' }, 'input.0.content.1') // { url: 'file-3f0c…', field: 'input.0.content.1.file_id', isFile: true }
 */
export function imageOfPart(named: Named, field: string): MessageImage {
  const given = Object.entries(named).filter(([, value]) => (value ?? '') !== '');
  const [first, second] = given;
  const names = Object.keys(named).join(', ');
  if (first === undefined) {
    throw new ApiError('no-image', `${field}: must have one of ${names}.`, { field });
  }
  if (second !== undefined) {
    throw new ApiError('several-images', `${field}: must have only one of ${names}.`, { field });
  }
  const [name, url] = first;
  return {
    url: url ?? '',
    field: `${field}.${name}`,
    ...(name === FILE_ID && { isFile: true }),
  };
}

/**
 * Where the bytes of the image are; those of a file are read where they are needed.
 * @throws ApiError `invalid-base64`, `not-found`, `no-image` where the file was uploaded as something else
 */
export async function imageSourceOf(
  c: AppContext,
  deps: Dependencies,
  { url, field, isFile = false }: MessageImage,
): Promise<ImageSource | StoredImage> {
  if (!isFile) return sourceFromText(url, field);
  // A line of a batch is run twice, long after it was sent, and not by its caller.
  if (deps.images !== undefined) {
    const detail = `${field}: a line of a batch cannot name a file: send the image as a data: URL, or by its address or SHA-256.`;
    throw new ApiError('unsupported-parameter', detail, { field });
  }
  const { file } = await uploadedFile(c, deps, url, field);
  const { purpose = 'batch', sha256 } = file;
  if (purpose === 'batch' || sha256 === undefined) {
    const detail = `${field}: this file was uploaded with the purpose batch: upload the image with the purpose vision.`;
    throw new ApiError('no-image', detail, { field });
  }
  return {
    kind: 'stored',
    sha256,
    read: async (turn) => await readImage(c, deps, { ...file, sha256, field }, turn),
  };
}

/** @throws ApiError `not-found`, and those of the memory for bodies and of turns */
async function readImage(
  c: AppContext,
  deps: Dependencies,
  { id, bytes: size, sha256, field }: JobFile & { sha256: string; field: string },
  turn: (ms: number) => Promise<void>,
): Promise<Uint8Array<ArrayBuffer>> {
  const { maxHeldBytes, deadlineMs: ms } = deps.config;
  const { signal } = c.req.raw;
  const held = holdBody(maxHeldBytes, { client: clientIn(c, deps.config), ms, signal });
  try {
    held.add(size);
    const stored = await bucketOf(deps).get(fileKey(id));
    if (stored === null) throw noFile(field);
    const bytes = new Uint8Array(await stored.arrayBuffer());
    await turn(inflatingCost(bytes.length).ms);
    // What is computed is cached for whoever has an image with this hash.
    if ((await imageIdOf(bytes)) !== sha256)
      throw new Error('the bytes of a file are not those that were uploaded');
    return bytes;
  } finally {
    held.close();
  }
}
