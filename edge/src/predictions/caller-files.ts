/** The files of one caller, without those whose image was deleted after it was sent. */
import type { ImagePath } from '@blip2/shared/cache-key';
import { type StreamOptions, streamOf } from '../http/stream.ts';
import type { CallerStorage } from './caller-storage.ts';
import type { NewFile, StoredFile, StoredPrediction } from './contract.ts';
import type { DeletedImages } from './deleted-images.ts';
import { piecesOf, wholeOf } from './file-bytes.ts';

type Parts = {
  storage: CallerStorage;
  deleted: DeletedImages;
  now: () => number;
};

export class CallerFiles {
  readonly #parts: Parts;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** @param fresh the id and the token that it gets where it is not one that was just put */
  async put(file: NewFile, fresh: Pick<StoredFile, 'id' | 'token'>): Promise<StoredFile> {
    const { storage } = this.#parts;
    storage.prepare();
    const createdAt = this.#parts.now();
    const stored = storage.files.put(file, { ...fresh, createdAt });
    await storage.expireLater(createdAt);
    return stored;
  }

  async find(id: string): Promise<StoredFile | null> {
    const file = this.#stored(id);
    if (file === null || (await this.#parts.deleted.isGone(sentAs(file)))) return null;
    // It may have been deleted meanwhile.
    return this.#stored(id);
  }

  #stored(id: string): StoredFile | null {
    const { storage, now } = this.#parts;
    return storage.isPrepared ? storage.files.find(id, now()) : null;
  }

  async list(): Promise<StoredFile[]> {
    const { storage, deleted, now } = this.#parts;
    const files = storage.isPrepared ? storage.files.list(now()) : [];
    return await deleted.withoutGone(files, sentAs);
  }

  /** The bytes as somebody reads them. @param file that was found */
  async stream(file: StoredFile, options: StreamOptions): Promise<ReadableStream<Uint8Array>> {
    return await streamOf(piecesOf(this.#parts.storage.files, file), options);
  }

  /**
   * All bytes.
   * @param owner whose turns it takes
   * @param signal aborted when nobody needs them any more
   */
  async read(
    id: string,
    owner: string,
    signal?: AbortSignal,
  ): Promise<Uint8Array<ArrayBuffer> | null> {
    const file = await this.find(id);
    return file && (await wholeOf(this.#parts.storage.files, file, owner, signal));
  }

  /** @returns whether there was one */
  delete(id: string): boolean {
    const { storage } = this.#parts;
    return storage.isPrepared && storage.files.delete(id);
  }

  deleteImage(image: ImagePath): void {
    const { storage } = this.#parts;
    if (storage.isPrepared) storage.files.deleteImage(image);
  }
}

function sentAs({ image: path, createdAt: sentAt }: StoredFile): StoredPrediction['image'] {
  // Files of a version before may still be there for an hour.
  return path === undefined ? null : { path, sentAt };
}
