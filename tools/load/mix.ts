/** What the callers of a busy service ask for: each kind's share, and how a request of it is made. */

import type { Outgoing } from './exchange.ts';
import type { Random } from './random.ts';
import type { ImageSupply, KnownImage } from './scenes.ts';

/** Kinds of requests and their shares of 100; docs/reliability.md says what each is. */
export const MIX = {
  'look-up': 30,
  'question by hash': 30,
  'same image again': 12,
  'new image': 12,
  caption: 11,
  match: 5,
} as const;
export type Kind = keyof typeof MIX;

export type Material = { known: readonly KnownImage[]; supply: ImageSupply; random: Random };

export function drawKind(random: Random): Kind {
  let left = 100 * random();
  for (const [kind, share] of Object.entries(MIX)) {
    left -= share;
    if (left < 0) return kind as Kind;
  }
  return 'match';
}

const drawn = <T>(items: readonly T[], random: Random): T =>
  items[Math.floor(random() * items.length)]!;

/** Draws all that it draws before anything is waited for, so that the same seed makes the same requests. */
export async function requestOf(
  kind: Kind,
  { known, supply, random }: Material,
): Promise<Outgoing> {
  const image = drawn(known, random);
  const { question } = drawn(image.scene.questions, random);
  switch (kind) {
    case 'look-up':
      return lookUp(image);
    case 'question by hash':
      return json('/v1/answers', { image: { sha256: image.sha256 }, question, stream: true });
    case 'same image again':
      return upload(image.bytes, question);
    case 'new image':
      return upload(await supply.take(), question);
    case 'caption':
      return json('/v1/captions', { image: { sha256: image.sha256 } });
    case 'match': {
      const others = Array.from({ length: 3 }, () => drawn(known, random).scene.caption);
      const data = Buffer.from(image.bytes).toString('base64');
      return json('/v1/match', { image: { data }, texts: [image.scene.caption, ...others] });
    }
  }
}

export const lookUp = ({ sha256 }: Pick<KnownImage, 'sha256'>): Outgoing => ({
  method: 'GET',
  path: `/v1/embeddings/${sha256}`,
  headers: { accept: 'application/octet-stream' },
});

/** What is measured is the service with its GPU worker, and no reply of before. */
const MADE_NOW = { 'cache-control': 'no-cache' };

/** An image in the body, a question about it in the query, and the answer streamed. */
export function upload(bytes: Uint8Array<ArrayBuffer>, question: string): Outgoing {
  return {
    method: 'POST',
    path: `/v1/answers?${new URLSearchParams({ question, stream: 'true' })}`,
    headers: { 'content-type': 'application/octet-stream', ...MADE_NOW },
    body: bytes,
  };
}

export function json(path: string, body: unknown): Outgoing {
  const headers = { 'content-type': 'application/json', ...MADE_NOW };
  return { method: 'POST', path, headers, body: JSON.stringify(body) };
}
