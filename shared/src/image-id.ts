/** The id of an image: in every cache, in requests that send only a hash, and in every reply. */
import { Buffer } from 'node:buffer';

/** SHA-256 of an image's bytes as they were sent, 64 lower-case hexadecimal digits. */
export type ImageId = string;

export const IMAGE_ID = /^[0-9a-f]{64}$/;

/** @param bytes the image as it was sent, encoded */
export async function imageIdOf(bytes: Uint8Array): Promise<ImageId> {
  // Nothing here shares memory between threads.
  const digest = await crypto.subtle.digest('SHA-256', bytes as Uint8Array<ArrayBuffer>);
  return Buffer.from(digest).toString('hex');
}
