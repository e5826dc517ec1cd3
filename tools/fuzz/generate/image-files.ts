/** Files of images: whole ones of every format, and such as no encoder writes. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { deflateSync } from 'node:zlib';
import * as fc from 'fast-check';
import { ROOT } from '../../prepare-edge.ts';
import { byteEdit, editBytes } from './byte-edits.ts';
import { type ImageKind, segmentsOf, withChecksums, withSize } from './image-segments.ts';

type Base = { kind: ImageKind; bytes: Uint8Array };

const KINDS: Readonly<Record<string, ImageKind>> = {
  '.png': 'png',
  '.jpg': 'jpeg',
  '.webp': 'webp',
  '.gif': 'gif',
  '.avif': 'avif',
};
const FOLDER = join(ROOT, 'test/parity/golden/images');
/** Larger ones would take most of the time. */
const MOST_BYTES = 60_000;

/** Images of the parity tests: each feature of each format once. */
async function bases(): Promise<Base[]> {
  const names = (await readdir(FOLDER)).filter((name) => !name.endsWith('.pixels.png')).sort();
  const all = await Promise.all(
    names.map(async (name): Promise<Base[]> => {
      const kind = KINDS[/\.\w+$/.exec(name)?.[0] ?? ''];
      const bytes = new Uint8Array(await readFile(join(FOLDER, name)));
      return kind === undefined || bytes.length > MOST_BYTES ? [] : [{ kind, bytes }];
    }),
  );
  return all.flat();
}

type SegmentEdit = { at: number; do: 'remove' | 'repeat' | 'swap' | 'cut' | 'move'; to: number };

const segmentEdit: fc.Arbitrary<SegmentEdit> = fc.record({
  at: fc.nat(200),
  do: fc.constantFrom('remove', 'repeat', 'swap', 'cut', 'move'),
  to: fc.nat(200),
});

function editSegments({ kind, bytes }: Base, edits: readonly SegmentEdit[]): Uint8Array {
  let parts = segmentsOf(kind, bytes);
  for (const { at, do: action, to } of edits) {
    const from = at % Math.max(1, parts.length);
    const other = to % Math.max(1, parts.length);
    const [part, target] = [parts[from], parts[other]];
    if (part === undefined || target === undefined) continue;
    if (action === 'remove') parts = parts.toSpliced(from, 1);
    else if (action === 'repeat')
      parts = parts.toSpliced(from, 0, ...Array<Uint8Array>((to % 40) + 1).fill(part));
    else if (action === 'swap') parts = parts.with(from, target).with(other, part);
    else if (action === 'cut') parts = parts.with(from, part.subarray(0, to % (part.length + 1)));
    else parts = parts.toSpliced(from, 1).toSpliced(other, 0, part);
  }
  return new Uint8Array(Buffer.concat(parts));
}

const side = fc.oneof(
  fc.constantFrom(0, 1, 2, 7, 16_383, 16_384, 65_535, 65_536, 1_000_000, 0x7fff_ffff, 0xffff_ffff),
  fc.integer({ min: 1, max: 5000 }),
);

/** Near misses: what begins as an image does, or as something else that holds one. */
const NEAR: readonly string[] = [
  ...[
    '',
    'GIF89a',
    'GIF87a',
    'RIFF\0\0\0\0WEBP',
    '\x89PNG\r\n\x1a\n',
    '\xff\xd8\xff',
    '\xff\xd8\xff\xd9',
  ],
  ...[
    '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
    '<?xml version="1.0"?><svg/>',
  ],
  ...[
    'II*\0',
    'MM\0*',
    'BM',
    '%PDF-1.7',
    '\0\0\0\x0cjP  ',
    '\0\0\0\x18ftypheic',
    '\0\0\0\x1cftypavif',
    'ftypavif',
  ],
  ...['#?RADIANCE\n', 'P6\n1 1\n255\n', 'SIMPLE  =', '{"a":1}', '\x1f\x8b', 'PK\x03\x04', '8BPS'],
];

/** A whole image of zeros of any size, few bytes: what it costs is in its pixels. */
function zeroPng(width: number, height: number, bits: 1 | 8): Uint8Array<ArrayBuffer> {
  const chunk = (type: string, data: Uint8Array) => {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(data.length);
    return Buffer.concat([length, Buffer.from(type), data, Buffer.alloc(4)]);
  };
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header[8] = bits;
  const rows = Buffer.alloc(height * (1 + Math.ceil((width * bits) / 8)));
  const parts = [
    Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'),
    chunk('IHDR', header),
    chunk('IDAT', deflateSync(rows, { level: 1 })),
    chunk('IEND', new Uint8Array()),
  ];
  return withChecksums(new Uint8Array(Buffer.concat(parts)));
}

/** Within the limit of pixels, or just above it. */
const zeros = fc
  .record({
    width: fc.constantFrom(1, 2, 3, 1000, 7000, 100_000, 1_000_000),
    height: fc.constantFrom(1, 2, 3, 1000, 7000, 100_000, 1_000_000),
    bits: fc.constantFrom(1 as const, 8 as const),
  })
  .filter(({ width, height }) => width * height <= 60_000_000)
  .map(({ width, height, bits }) => zeroPng(width, height, bits));

export async function imageFiles(): Promise<fc.Arbitrary<Uint8Array>> {
  const base = fc.constantFrom(...(await bases()));
  const bytes = fc.tuple(base, fc.array(byteEdit(128), { maxLength: 5 }));
  const segments = fc.tuple(base, fc.array(segmentEdit, { minLength: 1, maxLength: 4 }));
  const fixed = (kind: ImageKind, made: Uint8Array) =>
    kind === 'png' ? withChecksums(made) : made;
  return fc.oneof(
    {
      weight: 8,
      arbitrary: bytes.map(([{ kind, bytes: whole }, edits]) =>
        fixed(kind, editBytes(whole, edits)),
      ),
    },
    {
      weight: 8,
      arbitrary: segments.map(([whole, edits]) => fixed(whole.kind, editSegments(whole, edits))),
    },
    {
      weight: 3,
      arbitrary: fc
        .tuple(base, side, side)
        .map(([{ kind, bytes: whole }, width, height]) => withSize(kind, whole, width, height)),
    },
    {
      weight: 1,
      arbitrary: fc
        .tuple(fc.constantFrom(...NEAR), fc.uint8Array({ maxLength: 40 }))
        .map(([text, rest]) => new Uint8Array(Buffer.concat([Buffer.from(text, 'latin1'), rest]))),
    },
    {
      weight: 1,
      arbitrary: fc
        .tuple(base, base)
        .map(([a, b]) => new Uint8Array(Buffer.concat([a.bytes, b.bytes]))),
    },
    { weight: 1, arbitrary: zeros },
  );
}
