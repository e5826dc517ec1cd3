/**
 * A request whose body is in memory already. Read as a stream it would take kilobytes outside of V8's heap, of which V8 knows
 * nothing, and which only a full collection frees: those who make thousands of requests need none.
 */
export class WholeRequest extends Request {
  /** Its body. */
  readonly whole: Uint8Array<ArrayBuffer>;

  /** @example new WholeRequest('http://job.invalid/v1/captions', { method: 'POST' }, Uint8Array.of(0x7b, 0x7d)) */
  constructor(url: string, init: Omit<RequestInit, 'body'>, whole: Uint8Array<ArrayBuffer>) {
    super(url, init);
    this.whole = whole;
  }
}
