/** Reads the body of a reply, up to a number of bytes. */

/** A body had more bytes than it may; `bytes` is what it said it has, else what came of it. */
export class TooLong extends Error {
  override readonly name = 'TooLong';
  readonly bytes: number;

  constructor(bytes: number) {
    super(`a reply has ${bytes} bytes or more`);
    this.bytes = bytes;
  }
}

/** How long the body says it is; null where it does not. */
export function lengthOf({ headers }: Response): number | null {
  const length = headers.get('content-length');
  return length === null || !/^\d{1,15}$/.test(length) ? null : Number(length);
}

/** @throws TooLong before more than `limit` bytes are held */
export async function readLimited(
  response: Response,
  limit: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const announced = lengthOf(response) ?? 0;
  if (announced > limit) {
    await response.body?.cancel().catch(() => {});
    throw new TooLong(announced);
  }
  const chunks: Uint8Array[] = [];
  let count = 0;
  for await (const chunk of response.body ?? []) {
    count += chunk.byteLength;
    if (count > limit) throw new TooLong(count);
    chunks.push(chunk);
  }
  return new Uint8Array(Buffer.concat(chunks));
}
