/** How files begin: the images that are decoded here, those that are not, and what else is sent in place of an image. */
import type { ImageInfo } from './wire.ts';

export type ImageFormat = ImageInfo['format'];

/**
 * An image that is not decoded, no image, or a request in a form that a raw body does not have. `name` has its article,
 * `remedy` is a sentence.
 */
export type Refused = {
  kind: 'other-image' | 'no-image' | 'other-form';
  name: string;
  remedy: string;
};

/** An image that is decoded here. */
export type Accepted = { kind: 'image'; format: ImageFormat };

/** Bytes as Latin-1 text, by their offset. All of them must be there. */
type Parts = readonly (readonly [at: number, text: string])[];
type Signature = { parts: Parts; is: Accepted | Refused };

const image = (format: ImageFormat, ...parts: Parts): Signature => ({
  parts,
  is: { kind: 'image', format },
});
const otherImage = (name: string, remedy: string, ...parts: Parts): Signature => ({
  parts,
  is: { kind: 'other-image', name, remedy },
});
const noImage = (name: string, remedy: string, ...parts: Parts): Signature => ({
  parts,
  is: { kind: 'no-image', name, remedy },
});

const CONVERT = 'Convert it: `magick FILE image.png`.';
const CONVERT_FIRST =
  'Convert its first page: `magick "FILE[0]" image.png`, on a Mac `sips -s format png FILE --out image.png`.';
const CONVERT_JXL = 'Convert it: `djxl FILE image.png`.';
const CONVERT_CGBI = 'Convert it: `xcrun pngcrush -revert-iphone-optimizations FILE image.png`.';
const DEVELOP = 'Export it as JPEG with a program for photos.';
const EXTRACT_FRAME = 'Send one of its frames: `ffmpeg -i FILE -frames:v 1 image.png`.';
const UNPACK = 'Unpack it, and send the image.';
const SEND_IMAGE = 'Send the image itself.';
const KEEP_BYTES = 'Read, keep and send its bytes, never as text.';
const SEND_DATA = 'Send it as JSON, {"image": {"data": "…"}}, or decode it.';

export const RAW_PHOTO: Refused = {
  kind: 'other-image',
  name: 'a raw photo of a camera',
  remedy: DEVELOP,
};
export const FILM: Refused = {
  kind: 'no-image',
  name: 'a film (MP4 or QuickTime)',
  remedy: EXTRACT_FRAME,
};
export const HEIC: Refused = {
  kind: 'other-image',
  name: 'a HEIC image',
  remedy:
    'Its compression, HEVC, is patented, and no decoder is shipped. Convert it: `heif-convert FILE image.jpg`, on a Mac `sips -s format jpeg FILE --out image.jpg`; a phone takes JPEG when its camera is set to "Most Compatible".',
};
/** HEIF whose compression is not known from its first bytes, and turned out to be neither AV1 nor HEVC. */
export const OTHER_HEIF: Refused = { ...HEIC, name: 'a HEIF image', remedy: CONVERT };

const base64 = (...parts: Parts): Signature => ({
  parts,
  is: { kind: 'other-form', name: 'an image written as base64', remedy: SEND_DATA },
});
const rawPhoto = (...parts: Parts): Signature => ({ parts, is: RAW_PHOTO });

export const SIGNATURES: readonly Signature[] = [
  otherImage(
    'a PNG image as Xcode rewrites it for apps (CgBI)',
    CONVERT_CGBI,
    [0, '\x89PNG'],
    [12, 'CgBI'],
  ),
  otherImage('a JPEG-LS image', CONVERT, [0, '\xff\xd8\xff\xf7']),
  image('jpeg', [0, '\xff\xd8\xff']),
  image('png', [0, '\x89PNG\r\n\x1a\n']),
  image('gif', [0, 'GIF87a']),
  image('gif', [0, 'GIF89a']),
  image('webp', [0, 'RIFF'], [8, 'WEBP']),

  // Before TIFF: it is what most of these are.
  rawPhoto([0, 'II*\0'], [8, 'CR']),
  rawPhoto([0, 'IIRO']),
  rawPhoto([0, 'IIRS']),
  rawPhoto([0, 'IIU\0']),
  rawPhoto([0, 'FUJIFILMCCD-RAW']),
  ...['II*\0', 'MM\0*', 'II+\0', 'MM\0+'].map((text) =>
    otherImage('a TIFF image', CONVERT_FIRST, [0, text]),
  ),
  otherImage('a BMP image', CONVERT, [0, 'BM'], [15, '\0\0\0']),
  // Before cursors: one begins so without an image in it. Length of a name, no palette, kind, no entries of a palette.
  ...['\x02', '\x03', '\x0a', '\x0b'].map((kind) =>
    otherImage('a TGA image', CONVERT, [1, `\0${kind}\0\0\0\0\0`]),
  ),
  otherImage('an icon (ICO)', CONVERT_FIRST, [0, '\0\0\x01\0'], [5, '\0']),
  otherImage('a cursor (CUR)', CONVERT_FIRST, [0, '\0\0\x02\0'], [5, '\0']),
  otherImage('an icon (ICNS)', CONVERT_FIRST, [0, 'icns']),
  otherImage('a JPEG XL image', CONVERT_JXL, [0, '\xff\x0a']),
  otherImage('a JPEG XL image', CONVERT_JXL, [4, 'JXL \r\n']),
  otherImage('a JPEG 2000 image', CONVERT, [4, 'jP  ']),
  otherImage('a JPEG 2000 image', CONVERT, [0, '\xff\x4f\xff\x51']),
  otherImage('a JPEG XR image', CONVERT, [0, 'II\xbc']),
  otherImage('a Photoshop document', CONVERT_FIRST, [0, '8BPS']),
  otherImage('a GIMP document', CONVERT_FIRST, [0, 'gimp xcf']),
  otherImage('an OpenEXR image', CONVERT, [0, 'v/1\x01']),
  otherImage('a Radiance image', CONVERT, [0, '#?RADIANCE']),
  otherImage('a QOI image', CONVERT, [0, 'qoif']),
  otherImage('a DDS texture', CONVERT, [0, 'DDS ']),
  otherImage('a FITS image', CONVERT, [0, 'SIMPLE  =']),
  otherImage('a DICOM image', CONVERT, [128, 'DICM']),
  otherImage('a PCX image', CONVERT, [0, '\x0a\x05\x01\x08']),
  otherImage('an SGI image', CONVERT, [0, '\x01\xda']),
  otherImage('a Sun raster image', CONVERT, [0, '\x59\xa6\x6a\x95']),
  otherImage('a farbfeld image', CONVERT, [0, 'farbfeld']),
  otherImage('a FLIF image', 'Convert it: `flif -d FILE image.png`.', [0, 'FLIF']),
  otherImage('a BPG image', 'Convert it: `bpgdec -o image.png FILE`.', [0, 'BPG\xfb']),
  otherImage('a KTX texture', CONVERT, [0, '\xabKTX ']),
  otherImage(
    'a DjVu document',
    'Convert a page: `ddjvu -format=tiff -page=1 FILE`, then `magick`.',
    [0, 'AT&TFORM'],
  ),
  otherImage('an animation (MNG)', CONVERT_FIRST, [0, '\x8aMNG']),
  otherImage('a JNG image', CONVERT, [0, '\x8bJNG']),
  otherImage('a Windows metafile', CONVERT, [0, '\xd7\xcd\xc6\x9a']),
  otherImage('a Windows metafile', CONVERT, [0, '\x01\0\0\0'], [40, ' EMF']),
  otherImage('an X pixmap (XPM)', CONVERT, [0, '/* XPM */']),
  ...['1', '2', '3', '4', '5', '6', '7', 'F', 'f'].flatMap((kind) =>
    [' ', '\n', '\r'].map((space) =>
      otherImage('a PNM image (PBM, PGM, PPM, PAM or PFM)', CONVERT, [0, `P${kind}${space}`]),
    ),
  ),

  noImage('a PDF document', 'Send a page: `pdftoppm -png -f 1 -l 1 FILE image`.', [0, '%PDF']),
  noImage('a PostScript document', CONVERT_FIRST, [0, '%!PS']),
  noImage('a film (Matroska or WebM)', EXTRACT_FRAME, [0, '\x1a\x45\xdf\xa3']),
  noImage('a film (AVI)', EXTRACT_FRAME, [0, 'RIFF'], [8, 'AVI ']),
  noImage('a film (FLV)', EXTRACT_FRAME, [0, 'FLV\x01']),
  noImage('a film (MPEG)', EXTRACT_FRAME, [0, '\0\0\x01\xba']),
  ...['moov', 'mdat', 'wide'].map((box) => ({ parts: [[4, box]] as const, is: FILM })),
  noImage('a sound (WAV)', SEND_IMAGE, [0, 'RIFF'], [8, 'WAVE']),
  noImage('a sound (MP3)', SEND_IMAGE, [0, 'ID3']),
  // Frames of MPEG audio without a tag before them.
  ...['\xff\xfb', '\xff\xf3', '\xff\xf2', '\xff\xfa'].map((text) =>
    noImage('a sound (MP3)', SEND_IMAGE, [0, text]),
  ),
  noImage('a sound (FLAC)', SEND_IMAGE, [0, 'fLaC']),
  noImage('a sound or film (Ogg)', SEND_IMAGE, [0, 'OggS']),
  noImage('a ZIP archive or an office document', UNPACK, [0, 'PK\x03\x04']),
  noImage('a gzip archive', UNPACK, [0, '\x1f\x8b']),
  noImage('a zstd archive', UNPACK, [0, '\x28\xb5\x2f\xfd']),
  noImage('a bzip2 archive', UNPACK, [0, 'BZh'], [4, '1AY&SY']),
  noImage('an xz archive', UNPACK, [0, '\xfd7zXZ\0']),
  noImage('a 7z archive', UNPACK, [0, '7z\xbc\xaf']),
  noImage('a RAR archive', UNPACK, [0, 'Rar!']),
  noImage('a tar archive', UNPACK, [257, 'ustar']),
  noImage('an array of NumPy', 'Save it as PNG: `Image.fromarray(a).save(…)`.', [0, '\x93NUMPY']),
  noImage(
    'a pointer of Git LFS in place of the file',
    'Fetch the file itself: `git lfs pull`, or its address at media.githubusercontent.com.',
    [0, 'version https://git-lfs'],
  ),
  // Bytes above 127 that went through a text: each as U+FFFD, or as two bytes; or line ends were rewritten.
  ...['\xef\xbf\xbd'.repeat(3), '\xc3\xbf\xc3\x98\xc3\xbf'].map((text) =>
    noImage('a JPEG image that was ruined as text', KEEP_BYTES, [0, text]),
  ),
  ...['\xef\xbf\xbdPNG', '\xc2\x89PNG', '\x89PNG\n\x1a\n', '\x89PNG\r\r\n'].map((text) =>
    noImage('a PNG image that was ruined as text', KEEP_BYTES, [0, text]),
  ),
  ...['/9j/', 'iVBORw0KGgo', 'R0lGOD', 'UklGR', 'data:image/'].map((text) => base64([0, text])),
  base64([0, 'AAAA'], [5, 'GZ0eX']),
];

/** What begins as nothing that is known, in characters alone. */
export const PLAIN_TEXT: Refused = { kind: 'no-image', name: 'a text', remedy: SEND_IMAGE };

/** The first tag of a document, behind what may stand before it. */
export const FIRST_TAGS: readonly (readonly [RegExp, Refused])[] = [
  [
    /^<(svg:)?svg[\s>/]/i,
    {
      kind: 'other-image',
      name: 'an SVG drawing',
      remedy: 'Render it: `rsvg-convert -w 512 FILE -o image.png`.',
    },
  ],
  [
    /^<(!doctype html|html|head|body|script|meta|title|div|p)\b/i,
    {
      kind: 'no-image',
      name: 'an HTML page',
      remedy: 'Send the image itself; its address is what a browser copies as "image address".',
    },
  ],
];

/** Other texts, without white space or a byte order mark before them; the first that matches. */
export const TEXTS: readonly (readonly [RegExp, Refused])[] = [
  [
    /^(<\?xml[^>]*>\s*)?<Error>/,
    {
      kind: 'no-image',
      name: 'an XML error document, as object stores such as S3 send it',
      remedy: SEND_IMAGE,
    },
  ],
  [
    /^<\?xml|^<[a-z][\w:-]*[\s>/]/i,
    { kind: 'no-image', name: 'an XML document', remedy: SEND_IMAGE },
  ],
  [
    /^(\{\s*["}]|\[\s*(["{[\]]|-?\d))/,
    {
      kind: 'other-form',
      name: 'a JSON document',
      remedy: 'Send JSON with Content-Type: application/json.',
    },
  ],
  [
    /^https?:\/\/\S+\s*$/i,
    {
      kind: 'other-form',
      name: 'an address',
      remedy: 'Send it as JSON: {"image": {"url": "…"}}.',
    },
  ],
  [
    /^--[^\r\n]+\r?\ncontent-disposition:\s*form-data/i,
    {
      kind: 'other-form',
      name: 'a multipart form',
      remedy: 'Send it with the Content-Type that the client makes for it, boundary included.',
    },
  ],
  [/^[\t\r\n -~]+$/, PLAIN_TEXT],
];
