/** A reply while it is written: those who wait for it get all of it from its beginning, at their own pace. */

/** What a reply has beside its body. */
export type ReplyHead = { status: number; headers: readonly (readonly [string, string])[] };

/** What a stream says last where it breaks; null of a reply that is none. */
export type LastEvent = string | null;

/** A reader that has got so many of the chunks. */
type Reader = { next: number };

export class RunningReply {
  readonly #maxBytes: number;
  readonly #head = Promise.withResolvers<ReplyHead>();
  readonly #chunks: Uint8Array[] = [];
  readonly #readers = new Set<Reader>();
  #state: 'running' | 'ended' | { error: unknown } = 'running';
  #changed = Promise.withResolvers<void>();
  #lastEvent: LastEvent = null;
  #bytes = 0;
  #dropped = 0;

  /** @param maxBytes of the body that are held for those who come later; beyond them it is as fast as its slowest reader */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
    // Nobody may be waiting for it.
    this.#head.promise.catch(() => {});
  }

  /** Whether all that was written is held. */
  get isWhole(): boolean {
    return this.#bytes <= this.#maxBytes;
  }

  /** The body until now, of a reply that is whole. */
  body(): Uint8Array<ArrayBuffer> {
    const body = new Uint8Array(this.#bytes);
    let length = 0;
    for (const chunk of this.#chunks) {
      body.set(chunk, length);
      length += chunk.byteLength;
    }
    return body;
  }

  begin(head: ReplyHead, lastEvent: LastEvent): void {
    this.#lastEvent = lastEvent;
    this.#head.resolve(head);
  }

  /** Resolves when the next chunk may come. */
  async write(chunk: Uint8Array): Promise<void> {
    this.#chunks.push(chunk);
    this.#bytes += chunk.byteLength;
    this.#change();
    while (!this.isWhole && this.#drop() > 0) await this.#changed.promise;
  }

  end(): void {
    this.#state = 'ended';
    this.#change();
  }

  /** No more of it will come; means nothing where it has ended. */
  fail(error: unknown): void {
    if (this.#state !== 'running') return;
    if (this.#lastEvent) {
      this.#chunks.push(new TextEncoder().encode(this.#lastEvent));
      this.#state = 'ended';
    } else {
      this.#state = { error };
    }
    this.#head.reject(error);
    this.#change();
  }

  /**
   * The reply from its beginning; one that is no stream when it has ended, so that there is a status to say that it broke,
   * or is larger than what is held.
   * @throws what it failed with before
   */
  async open(): Promise<Response> {
    const reader: Reader = { next: 0 };
    // From now on nothing is dropped that it has not read.
    this.#readers.add(reader);
    try {
      const { status, headers } = await this.#head.promise;
      while (this.#lastEvent === null && this.#state === 'running' && this.isWhole) {
        await this.#changed.promise;
      }
      if (typeof this.#state === 'object') throw this.#state.error;
      return replyOf({ status, headers }, this.#streamFor(reader));
    } catch (thrown) {
      this.#leave(reader);
      throw thrown;
    }
  }

  #streamFor(reader: Reader): ReadableStream<Uint8Array> {
    return new ReadableStream({
      type: 'bytes',
      pull: async (controller) => {
        while (this.#at(reader) === undefined && this.#state === 'running') {
          await this.#changed.promise;
        }
        const chunk = this.#at(reader);
        if (chunk !== undefined) {
          reader.next++;
          // A copy: what a stream of bytes is handed is no longer ours.
          controller.enqueue(chunk.slice());
          this.#change();
        } else if (typeof this.#state === 'object') {
          this.#leave(reader);
          controller.error(this.#state.error);
        } else {
          this.#leave(reader);
          controller.close();
          controller.byobRequest?.respond(0);
        }
      },
      cancel: () => this.#leave(reader),
    });
  }

  #at({ next }: Reader): Uint8Array | undefined {
    return this.#chunks[next - this.#dropped];
  }

  #leave(reader: Reader): void {
    this.#readers.delete(reader);
    this.#change();
  }

  /** Drops what all readers have. @returns how many chunks are left */
  #drop(): number {
    const least = Math.min(
      ...[...this.#readers].map(({ next }) => next),
      this.#dropped + this.#chunks.length,
    );
    this.#chunks.splice(0, least - this.#dropped);
    this.#dropped = least;
    return this.#chunks.length;
  }

  #change(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }
}

/** A response; some statuses have no body. */
export function replyOf(
  { status, headers }: ReplyHead,
  body: ReadableStream<Uint8Array> | Uint8Array<ArrayBuffer>,
): Response {
  const hasBody = status !== 204 && status !== 304;
  return new Response(hasBody ? body : null, {
    status,
    headers: headers.map(([name, value]): [string, string] => [name, value]),
    // Streams of events say `identity`, which is no coding to apply.
    encodeBody: 'manual',
  });
}
