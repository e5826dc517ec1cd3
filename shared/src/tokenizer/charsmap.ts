/**
 * SentencePiece's precompiled character map, as `tokenizers` applies it: a double-array trie from UTF-8 strings to
 * their normal forms. The library's stand-in for it gave other ids on one line in a hundred.
 */

/** Longest cluster that is looked up whole, bytes. */
const WHOLE_CLUSTER_BYTES = 5;

/** What is printable: no two of these make a cluster. */
const ASCII = String.fromCodePoint(...Array.from({ length: 0x7f - 0x20 }, (_, i) => 0x20 + i));
const ONLY_ASCII = /^[\x20-\x7e]*$/;

/** @param base64 `u32 trie bytes | trie units, u32 each | normal forms, each ended by a zero`, little endian */
export function charsmapNormalizer(base64: string): (text: string) => string {
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  const trieBytes = new DataView(bytes.buffer).getUint32(0, true);
  const units = new Uint32Array(bytes.slice(4, 4 + trieBytes).buffer);
  const forms = bytes.subarray(4 + trieBytes);
  const [encoder, decoder] = [
    new TextEncoder(),
    new TextDecoder('utf-8', { fatal: false, ignoreBOM: true }),
  ];
  const clusters = new Intl.Segmenter(undefined, { granularity: 'grapheme' });

  const formAt = (start: number): string => {
    const end = forms.indexOf(0, start);
    return decoder.decode(forms.subarray(start, end === -1 ? forms.length : end));
  };
  /** Normal form of the shortest prefix that has one. */
  const transform = (part: string): string | undefined => {
    const start = firstMatch(units, encoder.encode(part));
    return start === undefined ? undefined : formAt(start);
  };
  // Where ASCII is left as it is, which is what T5's map does, most texts need no further look.
  const keepsAscii = Array.from(ASCII, transform).every((form) => form === undefined);
  return (text) => {
    if (keepsAscii && ONLY_ASCII.test(text)) return text;
    let normal = '';
    for (const { segment } of clusters.segment(text)) {
      const whole =
        encoder.encode(segment).length <= WHOLE_CLUSTER_BYTES ? transform(segment) : undefined;
      if (whole !== undefined) {
        normal += whole;
        continue;
      }
      for (const character of segment) normal += transform(character) ?? character;
    }
    return normal;
  };
}

/** Value of the first prefix of `key` that is in the trie (darts-clone's layout of a unit). */
function firstMatch(units: Uint32Array, key: Uint8Array): number | undefined {
  let at = offsetOf(units[0] ?? 0);
  for (const byte of key) {
    at ^= byte;
    const unit = units[at] ?? 0;
    if ((unit & 0x8000_00ff) >>> 0 !== byte) return undefined;
    at ^= offsetOf(unit);
    if ((unit >>> 8) & 1) return (units[at] ?? 0) & 0x7fff_ffff;
  }
  return undefined;
}

function offsetOf(unit: number): number {
  return (unit >>> 10) << ((unit & 0x200) >>> 6);
}
