/** From what the command line names to the lines of a job: images, folders, patterns, files of lines, URLs. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { glob, open, readdir, readFile, stat } from 'node:fs/promises';
import { basename, extname, join, relative, sep } from 'node:path';
import { sniff } from '@blip2/shared/image-format';
import { MAX_ITEM_ID } from '@blip2/shared/schemas/jobs/request';
import { CliError } from './failure.ts';
import { numberedLines } from './lines.ts';

/** The longest line that the service takes, bytes. */
const MAX_LINE_BYTES = 8 * 2 ** 20;
/** Bytes by which a file is known. */
const HEAD_BYTES = 1024;
const LINES = ['.jsonl', '.ndjson', '.txt'];

export type Reading = {
  /** Gets what cannot be sent, and why. */
  onSkip: (name: string, why: string) => void;
  /** Bytes of images, or their hashes alone, by which it can be said whether they are known. */
  images: 'bytes' | 'hashes';
  /** A member that each line has to have of its own. */
  needs?: NeededMember | undefined;
};

/** A member of every item of some task. */
export type NeededMember = 'question' | 'texts';

/**
 * A line of JSON for each image. Images are read one at a time, when they are asked for. Images of a folder and its
 * folders are named by their paths in it, others by their paths as they were written, in the order of their names.
 * @throws CliError for what is not there, and for a line that is none or has not what it needs
 */
export async function* itemLines(
  sources: readonly string[],
  reading: Reading,
): AsyncGenerator<string, void, undefined> {
  for (const source of sources) {
    if (source === '-') yield* linesOf('standard input', process.stdin, reading);
    else if (isUrl(source)) {
      expectMember({}, source, reading);
      yield urlLine(source);
    } else yield* pathLines(source, reading);
  }
}

async function* pathLines(path: string, reading: Reading) {
  const found = await stat(path).catch(() => null);
  if (found?.isDirectory()) {
    for await (const file of filesBelow(path)) {
      yield* imageLine(file, { ...reading, id: relative(path, file), isChosen: false });
    }
  } else if (found !== null && LINES.includes(extname(path).toLowerCase())) {
    yield* linesOf(path, createReadStream(path), reading);
  } else if (found !== null) {
    yield* imageLine(path, { ...reading, id: path, isChosen: true });
  } else {
    const matches = /[*?[{]/.test(path) ? (await Array.fromAsync(glob(path))).toSorted() : [];
    if (matches.length === 0) throw new CliError(`There is no file or folder ${path}.`);
    for (const match of matches) {
      if (!(await stat(match)).isFile()) continue;
      yield* imageLine(match, { ...reading, id: match, isChosen: false });
    }
  }
}

/** Files of a folder and its folders, by name. Hidden ones are none, and links to folders are not followed. */
async function* filesBelow(folder: string): AsyncGenerator<string, void, undefined> {
  const entries = (await readdir(folder, { withFileTypes: true })).toSorted((a, b) =>
    a.name < b.name ? -1 : 1,
  );
  for (const entry of entries) {
    if (entry.name.startsWith('.')) continue;
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* filesBelow(path);
    else if (entry.isFile() || (entry.isSymbolicLink() && (await isFile(path)))) yield path;
  }
}

async function isFile(path: string): Promise<boolean> {
  const found = await stat(path).catch(() => null);
  return found?.isFile() ?? false;
}

/** @param options.isChosen whether somebody named this very file: it should be an image then */
async function* imageLine(
  path: string,
  { id, isChosen, onSkip, images, needs }: Reading & { id: string; isChosen: boolean },
): AsyncGenerator<string, void, undefined> {
  const kind = sniff(await headOf(path));
  if (kind.kind !== 'image') {
    const isMeant = isChosen || kind.kind === 'other-image';
    const remedy = kind.kind === 'unknown' ? '' : ` ${kind.remedy}`;
    const what = kind.kind === 'unknown' ? 'nothing that is known' : kind.name;
    if (isMeant) onSkip(path, `it is ${what}, and no image that the service reads.${remedy}`);
    return;
  }
  expectMember({}, path, { needs });
  const bytes = await readFile(path);
  const name = nameOf(id.split(sep).join('/'));
  if (images === 'hashes') {
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    yield JSON.stringify({ ...name, image: { sha256 } });
    return;
  }
  const url = `data:image/${kind.format};base64,${bytes.toString('base64')}`;
  const line = JSON.stringify({ ...name, image: url });
  if (Buffer.byteLength(line) <= MAX_LINE_BYTES) yield line;
  else onSkip(path, `it has ${bytes.length} bytes, and a line of a job takes about 6 million.`);
}

async function headOf(path: string): Promise<Uint8Array> {
  await using file = await open(path);
  const head = new Uint8Array(HEAD_BYTES);
  const { bytesRead } = await file.read(head, 0, HEAD_BYTES, 0);
  return head.subarray(0, bytesRead);
}

async function* linesOf(
  name: string,
  chunks: AsyncIterable<Uint8Array>,
  reading: Pick<Reading, 'needs'>,
): AsyncGenerator<string, void, undefined> {
  for await (const { text, number } of numberedLines(chunks)) {
    const line = text.trim();
    if (line === '') continue;
    const place = `${basename(name)}, line ${number}`;
    const members = isUrl(line) ? {} : objectOf(line);
    if (members === null) {
      const what =
        'a line is an http(s) URL, or a JSON object such as {"id": "a", "image": {"url": "https://…"}}';
      throw new CliError(`${place}: ${what}.`);
    }
    expectMember(members, place, reading);
    yield isUrl(line) ? urlLine(line) : line;
  }
}

function expectMember(members: object, place: string, { needs }: Pick<Reading, 'needs'>): void {
  if (needs === undefined || Object.hasOwn(members, needs)) return;
  const none = needs === 'texts' ? 'there are no texts' : 'there is no question';
  throw new CliError(`${place}: ${none}. Give --${needs} TEXT for all items.`);
}

function isUrl(text: string): boolean {
  return /^https?:\/\//i.test(text) && URL.canParse(text);
}

function urlLine(url: string): string {
  return JSON.stringify({ ...nameOf(url), image: { url } });
}

/** What is too long to be an id is named by its number. */
function nameOf(id: string): { id?: string } {
  return id.length <= MAX_ITEM_ID ? { id } : {};
}

function objectOf(line: string): object | null {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && !Array.isArray(value) ? value : null;
  } catch {
    return null;
  }
}
