/** The types of an image on its way from a request to its id and bytes. */
import type { ImageId } from '@blip2/shared/image-id';
import type { RequestContext } from '../request-context.ts';

/** How a request names its image. */
export type ImageSource =
  | { kind: 'bytes'; bytes: Uint8Array<ArrayBuffer> }
  | { kind: 'url'; url: string }
  | { kind: 'sha256'; sha256: string };

/** An image as it is carried along: `bytes`, as they were sent, are absent when the client sent only the hash. */
export type ImageInput = {
  id: ImageId;
  bytes?: Uint8Array<ArrayBuffer>;
  /** Reads them where they are stored: only whoever encodes the image needs them. */
  readBytes?: () => Promise<Uint8Array<ArrayBuffer>>;
};

/** Whether it can be encoded. */
export function hasBytes({ bytes, readBytes }: Omit<ImageInput, 'id'>): boolean {
  return bytes !== undefined || readBytes !== undefined;
}

/** @throws ApiError of the image */
export type ImageResolver = (source: ImageSource, context: RequestContext) => Promise<ImageInput>;
