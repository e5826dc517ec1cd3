/** The image of an item while it is rehearsed: named before anybody has fetched or read it, so that the app can go on with it. */
import { ApiError } from '@blip2/shared/errors';
import { checkImage } from '@blip2/shared/image-format';
import { type ImageId, imageIdOf } from '@blip2/shared/image-id';
import type { GpuTask } from '@blip2/shared/wire';
import type { Dependencies } from '../dependencies.ts';
import type { GpuSource } from '../gpu/client.ts';
import type { ImageSource } from '../image/image-input.ts';
import { checkImageUrl } from '../image/public-url.ts';
import { bucketImageIn, type ItemSource, storedImageIn } from './item-source.ts';

/** In place of bytes that nobody has read. */
export const UNREAD = new Uint8Array(0);

/** Puts an image that is in an item itself where its work can find it. */
export type StoreImage = (sha256: string, bytes: Uint8Array<ArrayBuffer>) => Promise<void>;

/** Whether nobody knows yet which image it is. */
export function isUnread(source: ItemSource | undefined): boolean {
  return source?.kind === 'url' || source?.kind === 'object';
}

type UnreadImage = { id: ImageId; from: ItemSource | null; bytes?: Uint8Array<ArrayBuffer> };

/** An image as far as it can be known without fetching anything. @throws ApiError */
export async function unreadImage(
  source: ImageSource,
  { isOfBucket }: { isOfBucket: boolean },
  { config }: Pick<Dependencies, 'config'>,
  storeImage: StoreImage,
): Promise<UnreadImage> {
  if (source.kind === 'sha256') return { id: source.sha256, from: null };
  if (source.kind === 'bytes') {
    checkImage(source.bytes, { maxBytes: config.maxImageBytes, field: 'image' });
    const sha256 = await imageIdOf(source.bytes);
    await storeImage(sha256, source.bytes);
    return { id: sha256, from: { kind: 'stored', sha256 }, bytes: UNREAD };
  }
  const sha256 = storedImageIn(source.url);
  if (sha256 !== null) return { id: sha256, from: { kind: 'stored', sha256 }, bytes: UNREAD };
  const key = isOfBucket ? bucketImageIn(source.url) : null;
  if (key !== null) {
    const id = await imageIdOf(new TextEncoder().encode(`object ${key}`));
    return { id, from: { kind: 'object', key }, bytes: UNREAD };
  }
  const allowPrivate = config.allowPrivateImageUrls;
  const { href, hostname } = checkImageUrl(source.url, { allowPrivate });
  // Known now rather than after some tries: no such name is ever given to a host.
  if (hostname.endsWith('.invalid')) throw new ApiError('image-url-refused', NO_HOST);
  // Another name than any image has, and the same each time.
  const id = await imageIdOf(new TextEncoder().encode(`unread ${href}`));
  return { id, from: { kind: 'url', url: href }, bytes: UNREAD };
}

const NO_HOST =
  'The image URL names a host that cannot exist. Use the address at which the image is.';

/** What the work of an item is about. @throws ApiError where that is more than one image */
export function sourceOf(
  source: GpuSource | null,
  task: GpuTask,
  unread: ReadonlyMap<ImageId, ItemSource>,
): ItemSource {
  if (source === null) return { kind: 'none' };
  const sources = [...unread.values()];
  const [only] = sources;
  if (only === undefined || sources.length > 1) throw severalTasks();
  // A match needs the image, whatever is cached of it.
  const isFitting = source.type === 'embeddings' || only.kind !== 'embeddings';
  if (!isFitting) throw new Error(`${task.kind} was asked for without its image`);
  return only;
}

export function severalTasks(): ApiError {
  const detail =
    'An item of a job is about one image, or about texts: make an item of each, or send the request itself.';
  return new ApiError('unsupported-parameter', detail);
}
