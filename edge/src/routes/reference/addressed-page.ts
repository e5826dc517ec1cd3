/**
 * A page that has the address of whoever asks for it in many places, and callers say what it is: the texts for a few addresses are
 * prepared, and those for others are put together while they are read, so that none of them is in memory.
 */
import { LRUCache } from 'lru-cache';
import { matchesTag } from '../../http/content-negotiation.ts';
import { cacheable, type SharedBody, StaticText } from '../../http/static-text.ts';
import { type StreamOptions, sentStreamOf } from '../../http/stream.ts';

/** The one that was not asked for the longest makes room, so that the address by which callers mostly come stays. */
const MAX_PREPARED = 3;
/** So often one is prepared, and compressed. */
const PREPARED_MS = 10_000;
/** Handed on at a time. */
const PIECE_BYTES = 2 ** 16;

type Caller = {
  origin: string;
  request: Request;
  /** Milliseconds since the epoch. */
  now: number;
  bodyOf: SharedBody;
  /** How a body is sent that is put together while it is read. */
  sending: () => StreamOptions;
};

export class AddressedPage {
  readonly #html: string;
  readonly #placeholder: string;
  readonly #tag: string;
  readonly #parts: readonly Uint8Array[];
  readonly #prepared = new LRUCache<string, StaticText>({ max: MAX_PREPARED });
  #preparedAt = Number.NEGATIVE_INFINITY;

  /**
   * @param placeholder stands where the address is to be
   * @param tag names the text: no quotes, no other text's
   */
  constructor(html: string, placeholder: string, tag: string) {
    this.#html = html;
    this.#placeholder = placeholder;
    this.#tag = tag;
    const encoder = new TextEncoder();
    this.#parts = html.split(placeholder).map((part) => encoder.encode(part));
  }

  /** @param others headers of the reply */
  async reply(caller: Caller, others: Record<string, string>): Promise<Response> {
    const { origin, request, now, bodyOf } = caller;
    let text = this.#prepared.get(origin);
    if (text === undefined && now - this.#preparedAt >= PREPARED_MS) {
      this.#preparedAt = now;
      const html = this.#html.replaceAll(this.#placeholder, origin);
      text = new StaticText(html, this.#tagOf(origin));
      this.#prepared.set(origin, text);
    }
    if (text === undefined) return await this.#streamed(caller, others);
    return await text.reply(request.headers, others, bodyOf);
  }

  #tagOf(origin: string): string {
    return `${this.#tag}-${origin}`;
  }

  async #streamed(
    { origin, request, sending }: Caller,
    others: Record<string, string>,
  ): Promise<Response> {
    const etag = `"${this.#tagOf(origin)}"`;
    const same = cacheable(etag);
    if (matchesTag(request.headers.get('if-none-match'), etag)) {
      return new Response(null, { status: 304, headers: same });
    }
    const headers = { ...same, ...others };
    if (request.method === 'HEAD') return new Response(null, { headers });
    const parts = withBetween(this.#parts, new TextEncoder().encode(origin));
    const bytes = parts.reduce((sum, { length }) => sum + length, 0);
    return new Response(await sentStreamOf(piecesOf(parts), bytes, sending()), { headers });
  }
}

function withBetween(parts: readonly Uint8Array[], between: Uint8Array): Uint8Array[] {
  return parts.flatMap((part, index) => (index === 0 ? [part] : [between, part]));
}

/** Copies, as few and large as they may be: each is handed on by itself. */
async function* piecesOf(
  parts: readonly Uint8Array[],
): AsyncGenerator<Uint8Array, void, undefined> {
  let piece = new Uint8Array(PIECE_BYTES);
  let at = 0;
  for (const part of parts) {
    for (let from = 0; from < part.length; ) {
      const some = part.subarray(from, from + PIECE_BYTES - at);
      piece.set(some, at);
      at += some.length;
      from += some.length;
      if (at < PIECE_BYTES) continue;
      yield piece;
      piece = new Uint8Array(PIECE_BYTES);
      at = 0;
    }
  }
  if (at > 0) yield piece.subarray(0, at);
}
