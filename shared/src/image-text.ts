/** Texts that are images: recognized by how they begin, wherever a text may stand as well. */
import { sniff } from './image-format.ts';

/** Characters of base64 that hold the first bytes of a file, by which images are recognized; no line of base64 is shorter. */
const HEAD = 48;
/** Characters in which they are looked for: white space may stand before them. */
const LOOKED_AT = 4 * HEAD;

/**
 * Whether a text is base64 whose first bytes are those of an image, be it one that is not decoded here.
 * @example isBase64Image('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlE…') // true
 */
export function isBase64Image(text: string): boolean {
  const head = text.slice(0, LOOKED_AT).trimStart().slice(0, HEAD);
  if (head.length < HEAD || !/^([\w-]+|[A-Za-z0-9+/]+)$/.test(head)) return false;
  const binary = atob(head.replaceAll('-', '+').replaceAll('_', '/'));
  const { kind } = sniff(Uint8Array.from(binary, (character) => character.charCodeAt(0)));
  return kind === 'image' || kind === 'other-image';
}

/** Its head: words after a colon are none (`Data: a dog, a cat`). */
const DATA_URL = /^\s*data:([\w.+-]+\/[\w.+-]+)?(\s*;\s*[^,;\s]{1,64}){0,4}\s*,/i;

/** Whether a text begins as an image does that is sent as text: as a `data:` URL, or as its base64. */
export function beginsAsImage(text: string): boolean {
  return DATA_URL.test(text.slice(0, LOOKED_AT)) || isBase64Image(text);
}
