/** The bytes of an image that a manifest names. Whoever wrote the manifest decides what is read: no host or path is refused. */
import { readFile, stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { setTimeout as pause } from 'node:timers/promises';
import { ApiError } from '@blip2/shared/errors';
import { checkImage, expectImageBytes } from '@blip2/shared/image-format';
import { LinkedSignal } from '../http/linked-signal.ts';
import { backoffMs } from '../hub/retry.ts';
import { readLimited, TooLong } from '../jobs/read-limited.ts';
import { type ObjectStore, placeOf } from './object-store.ts';
import type { PartImage } from './part-line.ts';

export type ImageReading = {
  /** Folder that paths go out from. */
  folder: string;
  objects: ObjectStore;
  maxBytes: number;
  signal: AbortSignal;
};

const ATTEMPTS = 4;
const FETCH_MS = 60_000;

/** @throws ApiError of an image that cannot be had, or is none */
export async function readPartImage(image: PartImage, reading: ImageReading): Promise<Uint8Array> {
  const { maxBytes } = reading;
  const bytes = await bytesOf(image, reading);
  checkImage(bytes, { maxBytes, field: 'image' });
  return bytes;
}

async function bytesOf(image: PartImage, reading: ImageReading): Promise<Uint8Array<ArrayBuffer>> {
  switch (image.kind) {
    case 'data':
      return new Uint8Array(Buffer.from(image.data.replace(/^data:[^,]*,/, ''), 'base64'));
    case 'path':
      return await ofFile(resolve(reading.folder, image.path), reading);
    case 'object':
      return await ofBucket(image.address, reading);
    case 'url':
      return await ofUrl(image.url, reading);
  }
}

async function ofFile(path: string, { maxBytes }: ImageReading) {
  try {
    expectImageBytes((await stat(path)).size, { maxBytes, field: 'image' });
    return new Uint8Array(await readFile(path));
  } catch (error) {
    if (error instanceof ApiError) throw error;
    const code = (error as NodeJS.ErrnoException).code ?? 'it cannot be read';
    throw new ApiError('no-image', `The file of the image cannot be read: ${code}.`, {
      field: 'image',
    });
  }
}

async function ofBucket(address: string, { objects, maxBytes }: ImageReading) {
  const place = placeOf(address) ?? { bucket: '', key: '' };
  const size = await objects.size(place);
  if (size === null) throw failed('there is no such object');
  expectImageBytes(size, { maxBytes, field: 'image' });
  return new Uint8Array(await buffer(await objects.read(place)));
}

/** Tries what may pass a few times: a line that fails here has failed for good. */
async function ofUrl(url: string, { maxBytes, signal }: ImageReading) {
  for (let attempt = 1; ; attempt++) {
    using timed = new LinkedSignal(signal, AbortSignal.timeout(FETCH_MS));
    let why: string;
    try {
      const reply = await fetch(url, { signal: timed.signal });
      if (reply.ok) return await readLimited(reply, maxBytes);
      await reply.body?.cancel();
      why = `its host answers ${reply.status}`;
      if (reply.status < 500 && ![408, 429].includes(reply.status)) throw failed(why);
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof ApiError) throw error;
      if (error instanceof TooLong) {
        expectImageBytes(Math.max(error.bytes, maxBytes + 1), { maxBytes, field: 'image' });
      }
      why = 'its host does not answer';
    }
    if (attempt === ATTEMPTS) throw failed(why);
    await pause(backoffMs(attempt, Math.random()), undefined, { signal });
  }
}

function failed(why: string): ApiError {
  return new ApiError('image-url-failed', `The image could not be had: ${why}.`, {
    field: 'image',
  });
}
