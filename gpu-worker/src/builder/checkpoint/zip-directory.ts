/** Where the members of a zip archive lie, without reading the archive. */
import type { FileHandle } from 'node:fs/promises';
import { readExactly } from './stored-values.ts';

/** The bytes of one member in the file. */
export type ZipMember = { offset: number; bytes: number; isCompressed: boolean };

const END = 0x06054b50;
const END_64 = 0x06064b50;
const END_64_LOCATOR = 0x07064b50;
const CENTRAL = 0x02014b50;
const LOCAL = 0x04034b50;

const END_BYTES = 22;
const LOCATOR_BYTES = 20;
const END_64_BYTES = 56;
const LOCAL_BYTES = 30;
const MAX_COMMENT_BYTES = 0xffff;
/** Checkpoints have some thousand tensors. */
const MAX_MEMBERS = 100_000;
const MAX_DIRECTORY_BYTES = 64 << 20;

/** 16- and 32-bit fields that say "see the 64-bit field". */
const IN_64_BITS = 0xffff_ffff;
const COUNT_IN_64_BITS = 0xffff;

type Fail = (why: string) => Error;

/**
 * Members by name.
 * @param fail makes the error that is thrown where the archive is cut off, encrypted, or at odds with itself
 */
export async function readZipDirectory(
  file: FileHandle,
  size: number,
  fail: Fail,
): Promise<Map<string, ZipMember>> {
  const end = await findEnd(file, size, fail);
  if (end.bytes > MAX_DIRECTORY_BYTES || end.count > MAX_MEMBERS) {
    throw fail('its directory is too long for a checkpoint');
  }
  if (end.offset + end.bytes > end.before) throw fail('its directory lies outside the file');
  const directory = await readExactly(file, end.offset, end.bytes);
  const members = new Map<string, ZipMember>();
  let at = 0;
  for (let i = 0; i < end.count; i++) {
    if (at + 46 > directory.length || directory.readUInt32LE(at) !== CENTRAL) {
      throw fail('its directory is damaged');
    }
    const entry = centralEntry(directory, at, fail);
    at += entry.length;
    if (members.has(entry.name)) throw fail(`it holds ${entry.name} twice`);
    members.set(entry.name, await locate(file, entry, end.offset, fail));
  }
  expectApart(members, fail);
  return members;
}

type End = {
  count: number;
  offset: number;
  bytes: number;
  /** The directory ends before this byte. */
  before: number;
};

async function findEnd(file: FileHandle, size: number, fail: Fail): Promise<End> {
  const length = Math.min(size, END_BYTES + MAX_COMMENT_BYTES);
  const tail = await readExactly(file, size - length, length);
  for (let at = length - END_BYTES; at >= 0; at--) {
    if (tail.readUInt32LE(at) !== END) continue;
    if (at + END_BYTES + tail.readUInt16LE(at + 20) !== length) continue;
    const place = size - length + at;
    const end = {
      count: tail.readUInt16LE(at + 10),
      bytes: tail.readUInt32LE(at + 12),
      offset: tail.readUInt32LE(at + 16),
      before: place,
    };
    const is64 =
      end.count === COUNT_IN_64_BITS || end.bytes === IN_64_BITS || end.offset === IN_64_BITS;
    return is64 ? await findEnd64(file, place, end, fail) : end;
  }
  throw fail('it is cut off: the end of the archive is missing');
}

async function findEnd64(file: FileHandle, place: number, end: End, fail: Fail): Promise<End> {
  if (place < LOCATOR_BYTES) return end;
  const locator = await readExactly(file, place - LOCATOR_BYTES, LOCATOR_BYTES);
  // A count of exactly 65,535 needs no second end.
  if (locator.readUInt32LE(0) !== END_64_LOCATOR) return end;
  const at = wholeNumber(locator.readBigUInt64LE(8), fail);
  if (at + END_64_BYTES > place) throw fail('its directory lies outside the file');
  const record = await readExactly(file, at, END_64_BYTES);
  if (record.readUInt32LE(0) !== END_64) throw fail('its directory is damaged');
  return {
    count: wholeNumber(record.readBigUInt64LE(32), fail),
    bytes: wholeNumber(record.readBigUInt64LE(40), fail),
    offset: wholeNumber(record.readBigUInt64LE(48), fail),
    before: at,
  };
}

type CentralEntry = {
  name: string;
  bytes: number;
  /** First byte of the member's own header. */
  header: number;
  /** Bytes of this entry in the directory. */
  length: number;
  isCompressed: boolean;
};

function centralEntry(directory: Buffer, at: number, fail: Fail): CentralEntry {
  const [nameBytes, extraBytes, commentBytes] = [28, 30, 32].map((field) =>
    directory.readUInt16LE(at + field),
  ) as [number, number, number];
  const length = 46 + nameBytes + extraBytes + commentBytes;
  if (at + length > directory.length) throw fail('its directory is damaged');
  const name = directory.toString('utf8', at + 46, at + 46 + nameBytes);
  if ((directory.readUInt16LE(at + 8) & 1) === 1) throw fail(`${name} in it is encrypted`);
  const extra = directory.subarray(at + 46 + nameBytes, at + 46 + nameBytes + extraBytes);
  const [unpacked, packed, header] = inFull(
    [24, 20, 42].map((field) => directory.readUInt32LE(at + field)),
    extra,
    fail,
  ) as [number, number, number];
  const isCompressed = directory.readUInt16LE(at + 10) !== 0;
  if (packed !== unpacked && !isCompressed) throw fail(`${name} in it has two lengths`);
  return { name, bytes: packed, header, length, isCompressed };
}

/** Fields in the order in which the 64-bit extra field lists those that do not fit into 32 bits. */
function inFull(fields: readonly number[], extra: Buffer, fail: Fail): number[] {
  const wide = zip64Field(extra);
  let at = 0;
  return fields.map((value) => {
    if (value !== IN_64_BITS) return value;
    if (wide === null || at + 8 > wide.length) throw fail('its directory is damaged');
    at += 8;
    return wholeNumber(wide.readBigUInt64LE(at - 8), fail);
  });
}

function zip64Field(extra: Buffer): Buffer | null {
  for (let at = 0; at + 4 <= extra.length; ) {
    const end = at + 4 + extra.readUInt16LE(at + 2);
    if (extra.readUInt16LE(at) === 1 && end <= extra.length) return extra.subarray(at + 4, end);
    at = end;
  }
  return null;
}

async function locate(
  file: FileHandle,
  { name, bytes, header, isCompressed }: CentralEntry,
  directoryStart: number,
  fail: Fail,
): Promise<ZipMember> {
  const outside = () => fail(`${name} in it lies outside the file: it is cut off or damaged`);
  if (header + LOCAL_BYTES > directoryStart) throw outside();
  const local = await readExactly(file, header, LOCAL_BYTES);
  if (local.readUInt32LE(0) !== LOCAL) throw fail(`${name} in it is damaged`);
  const offset = header + LOCAL_BYTES + local.readUInt16LE(26) + local.readUInt16LE(28);
  if (offset + bytes > directoryStart) throw outside();
  return { offset, bytes, isCompressed };
}

/** No two members may share bytes: that is how archives unpack to more than they are. */
function expectApart(members: ReadonlyMap<string, ZipMember>, fail: Fail): void {
  const sorted = [...members].toSorted(([, a], [, b]) => a.offset - b.offset);
  let end = 0;
  for (const [name, { offset, bytes }] of sorted) {
    if (bytes > 0 && offset < end) throw fail(`${name} in it overlaps another member`);
    end = Math.max(end, offset + bytes);
  }
}

function wholeNumber(value: bigint, fail: Fail): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw fail('its directory is damaged');
  return Number(value);
}
