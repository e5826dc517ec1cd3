/** What is noted of a file while its bytes pass: how it begins, whether it ends, and which image it is. */
import { createHash } from 'node:crypto';
import { expectWhole, ImageEnd } from '@blip2/shared/image-end';
import { checkImage, expectImageBytes } from '@blip2/shared/image-format';
import type { ImageId } from '@blip2/shared/image-id';

/** As much as formats are recognized by, bytes. */
const HEAD_BYTES = 1024;

export class FileBytes {
  readonly #maxImageBytes: number;
  readonly #hash = createHash('sha256');
  readonly #end = new ImageEnd();
  #head = new Uint8Array(0);
  #total = 0;

  /** @param maxImageBytes larger files are no images: nothing is computed of them */
  constructor(maxImageBytes: number) {
    this.#maxImageBytes = maxImageBytes;
  }

  /** The same chunks. */
  async *passing(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
    for await (const chunk of source) {
      this.#total += chunk.length;
      if (this.#head.length < HEAD_BYTES) {
        const more = chunk.subarray(0, HEAD_BYTES - this.#head.length);
        const head = new Uint8Array(this.#head.length + more.length);
        head.set(this.#head);
        head.set(more, this.#head.length);
        this.#head = head;
      }
      if (this.#total <= this.#maxImageBytes) {
        this.#hash.update(chunk);
        this.#end.update(chunk);
      }
      yield chunk;
    }
  }

  /** Under which it is known as an image, once all of it has passed; null where it is too large for one. */
  imageId(): ImageId | null {
    return this.#total <= this.#maxImageBytes ? (this.#hash.digest('hex') as ImageId) : null;
  }

  /** @throws ApiError `no-image`, `body-too-large`, `unsupported-media-type` or `invalid-image` where it is no image, or half of one */
  expectImage(field: string): void {
    const limits = { maxBytes: this.#maxImageBytes, field };
    expectImageBytes(this.#total, limits);
    checkImage(this.#head, limits);
    expectWhole(this.#end, field);
  }
}
