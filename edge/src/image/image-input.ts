/** The types of an image on its way from a request to its id and bytes. */
import type { ImageId } from '@blip2/shared/image-id';
import type { RequestContext } from '../request-context.ts';

/** How a request names its image. */
export type ImageSource =
  | { kind: 'bytes'; bytes: Uint8Array<ArrayBuffer> }
  | { kind: 'url'; url: string }
  | { kind: 'sha256'; sha256: string };

/** An image that was uploaded before: none of a job's, whose lines are read twice. */
export type StoredImage = {
  kind: 'stored';
  sha256: string;
  /** @param turn waits until so many milliseconds of work may be done in one piece @throws ApiError, where it is stored no more */
  read: (turn: (ms: number) => Promise<void>) => Promise<Uint8Array<ArrayBuffer>>;
};

/**
 * An image as it is carried along: `bytes`, as they were sent, are absent when the client sent only the hash; `read` is there
 * where they are stored, and reads them where they are needed.
 */
export type ImageInput = {
  id: ImageId;
  bytes?: Uint8Array<ArrayBuffer>;
  read?: () => Promise<Uint8Array<ArrayBuffer>>;
};

/** Whether its bytes came with the request, or with the upload that it names. */
export function hasBytes({ bytes, read }: Pick<ImageInput, 'bytes' | 'read'>): boolean {
  return bytes !== undefined || read !== undefined;
}

/** @throws ApiError of the image */
export type ImageResolver = (source: ImageSource, context: RequestContext) => Promise<ImageInput>;
