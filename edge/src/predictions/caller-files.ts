/** The files of one caller, without those whose image was deleted after it was sent. */
import type { ImagePath } from '@blip2/shared/cache-key';
import type { CallerStorage } from './caller-storage.ts';
import type { FileContent, NewFile, StoredFile, StoredPrediction } from './contract.ts';
import type { DeletedImages } from './deleted-images.ts';

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
    const { storage, deleted, now } = this.#parts;
    const file = storage.isPrepared ? storage.files.find(id, now()) : null;
    return file !== null && (await deleted.isGone(sentAs(file))) ? null : file;
  }

  async list(): Promise<StoredFile[]> {
    const { storage, deleted, now } = this.#parts;
    const files = storage.isPrepared ? storage.files.list(now()) : [];
    return await deleted.withoutGone(files, sentAs);
  }

  /** @param file that was found */
  read({ id }: StoredFile): FileContent | null {
    const { storage, now } = this.#parts;
    return storage.files.read(id, now());
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
