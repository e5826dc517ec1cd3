/** The format of `torch.save` before 1.6: pickles one after another, then the storages' bytes. */
import type { FileHandle } from 'node:fs/promises';
import { PickleCutOff, PickleError } from './pickle-reader.ts';
import { readExactly } from './stored-values.ts';
import { type LocatedStorage, type TorchFile, TorchStorage, torchPickle } from './torch-pickle.ts';
import { type PickleOptions, unpickle } from './unpickle.ts';

const MAGIC = 0x1950a86a20f9469cfc6cn;
const PROTOCOL = 1001;
const FIRST_WINDOW_BYTES = 1 << 20;

/** Magic number, protocol, the writing system, the object, names of its storages. */
type Head = { root: unknown; keys: unknown; end: number; widths: ReadonlyMap<string, number> };

/** @throws the error of `fail`, or PickleError */
export async function readLegacyFile(
  file: FileHandle,
  size: number,
  maxPickleBytes: number,
  fail: (why: string) => Error,
): Promise<TorchFile> {
  const { root, keys, end, widths } = await readHead(file, size, maxPickleBytes, fail);
  if (!Array.isArray(keys)) throw fail('is damaged: the names of its storages are missing');
  const places = new Map<string, LocatedStorage>();
  let at = end;
  for (const key of keys) {
    const width = widths.get(key);
    if (width === undefined || places.has(key)) throw fail('is damaged: it names a wrong storage');
    if (at + 8 > size) throw fail('is cut off');
    const count = (await readExactly(file, at, 8)).readBigInt64LE();
    const bytes = Number(count) * width;
    if (count < 0n || !Number.isSafeInteger(bytes) || at + 8 + bytes > size) {
      throw fail('is cut off: the values of a tensor reach past its end');
    }
    places.set(key, { offset: at + 8, bytes });
    at += 8 + bytes;
  }
  return { root, locate: (key) => places.get(key) };
}

/** Reads a little, and more where the pickles go on. */
async function readHead(
  file: FileHandle,
  size: number,
  maxPickleBytes: number,
  fail: (why: string) => Error,
): Promise<Head> {
  for (let window = FIRST_WINDOW_BYTES; ; window *= 4) {
    const bytes = await readExactly(file, 0, Math.min(size, window, maxPickleBytes));
    try {
      return parseHead(bytes, fail);
    } catch (error) {
      if (!(error instanceof PickleCutOff)) throw error;
      if (bytes.length === size) throw fail('is cut off');
      if (bytes.length === maxPickleBytes)
        throw fail(`its pickle has more than ${maxPickleBytes} bytes: save the state_dict() alone`);
    }
  }
}

function parseHead(bytes: Buffer, fail: (why: string) => Error): Head {
  const widths = new Map<string, number>();
  const plain = torchPickle();
  const options: PickleOptions = {
    ...plain,
    persistent: (id) => {
      const storage = plain.persistent(id);
      if (storage instanceof TorchStorage) widths.set(storage.key, storage.width);
      return storage;
    },
  };
  let end = 0;
  const next = () => {
    const read = unpickle(bytes, end, options);
    end = read.end;
    return read.value;
  };
  const magic = isPickle(next);
  if (magic !== MAGIC) throw fail('is a pickle of something else than torch.save');
  if (next() !== PROTOCOL) throw fail('is of an unknown version of torch.save');
  const system = next();
  if (!(system instanceof Map) || system.get('little_endian') !== true) {
    throw fail('has big-endian numbers: save it again on this machine');
  }
  const root = next();
  const keys = next();
  return { root, keys, end, widths };
}

/** A pickle of something else may name anything: it is none of ours then, whatever it asks for. */
function isPickle(next: () => unknown): unknown {
  try {
    return next();
  } catch (error) {
    if (error instanceof PickleError && !(error instanceof PickleCutOff)) return null;
    throw error;
  }
}
