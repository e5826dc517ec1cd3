/** What the pickles of `torch.save` may name: tensors, the storages they lie in, dicts, sizes and types of numbers. */
import { PickleError } from './pickle-reader.ts';
import { PickleCall, type PickleOptions } from './unpickle.ts';

/** Where the bytes of a storage lie in the file. */
export type LocatedStorage = { offset: number; bytes: number };

/** A file's object: state dict or checkpoint, and where the bytes of each storage lie. */
export type TorchFile = {
  root: unknown;
  locate: (key: string) => LocatedStorage | undefined;
};

/** A run of numbers that tensors are views of. */
export class TorchStorage {
  /** Its name in the file. */
  readonly key: string;
  readonly dtype: string;
  /** Bytes of a number. */
  readonly width: number;
  /** Numbers of the whole storage in the file. */
  readonly count: number;
  /** First number that belongs to it, where it is a part of a larger one. */
  readonly offset: number;
  /** Numbers that belong to it. */
  readonly length: number;

  constructor(
    { dtype, width }: NumberType,
    { key, count, offset, length }: { key: string; count: number; offset: number; length: number },
  ) {
    this.key = key;
    this.dtype = dtype;
    this.width = width;
    this.count = count;
    this.offset = offset;
    this.length = length;
  }
}

/** A view of a storage; strides and offset count numbers. */
export class TorchTensor {
  readonly storage: TorchStorage;
  readonly offset: number;
  readonly shape: readonly number[];
  readonly strides: readonly number[];

  constructor(
    storage: TorchStorage,
    offset: number,
    shape: readonly number[],
    strides: readonly number[],
  ) {
    this.storage = storage;
    this.offset = offset;
    this.shape = shape;
    this.strides = strides;
  }
}

/** As safetensors names it, and its bytes. */
class NumberType {
  readonly dtype: string;
  readonly width: number;

  constructor(dtype: string, width: number) {
    this.dtype = dtype;
    this.width = width;
  }
}

const STORAGES: Record<string, NumberType> = {
  DoubleStorage: new NumberType('F64', 8),
  FloatStorage: new NumberType('F32', 4),
  HalfStorage: new NumberType('F16', 2),
  BFloat16Storage: new NumberType('BF16', 2),
  LongStorage: new NumberType('I64', 8),
  IntStorage: new NumberType('I32', 4),
  ShortStorage: new NumberType('I16', 2),
  CharStorage: new NumberType('I8', 1),
  ByteStorage: new NumberType('U8', 1),
  BoolStorage: new NumberType('BOOL', 1),
};

/** Most dimensions of a tensor; torch itself has 64. */
const MAX_DIMENSIONS = 64;

const GLOBALS: ReadonlyMap<string, unknown> = new Map<string, unknown>([
  ['collections.OrderedDict', new PickleCall(orderedDict)],
  ['torch.Size', new PickleCall(([dims]) => numbers(dims))],
  ['torch._utils._rebuild_tensor_v2', new PickleCall(rebuildTensor)],
  ['torch._utils._rebuild_tensor', new PickleCall(rebuildTensor)],
  ['torch._utils._rebuild_parameter', new PickleCall(rebuildParameter)],
  ...Object.entries(STORAGES).map(([name, type]) => [`torch.${name}`, type] as const),
]);

/** For `unpickle`. */
export function torchPickle(): PickleOptions {
  return { globals: GLOBALS, persistent: storageOf };
}

function orderedDict(args: readonly unknown[]): Map<unknown, unknown> {
  const [pairs = []] = args;
  if (args.length > 1 || !Array.isArray(pairs)) throw notSo('an ordered dict');
  return new Map(
    pairs.map((pair) => {
      if (!Array.isArray(pair) || pair.length !== 2) throw notSo('an ordered dict');
      return [pair[0], pair[1]];
    }),
  );
}

/** `(storage, offset, size, strides, requires_grad, hooks, metadata?)`: what follows the strides is of training. */
function rebuildTensor([storage, offset, size, strides]: readonly unknown[]): TorchTensor {
  if (!(storage instanceof TorchStorage)) throw notSo('a tensor');
  const [shape, steps] = [numbers(size), numbers(strides)];
  if (shape.length !== steps.length || shape.length > MAX_DIMENSIONS) throw notSo('a tensor');
  const first = whole(offset);
  const count = shape.reduce((product, dim) => product * dim, 1);
  if (!Number.isSafeInteger(count)) throw notSo('a tensor');
  const last = shape.reduce((sum, dim, i) => sum + (dim - 1) * steps[i]!, first);
  if (count > 0 && last >= storage.length) {
    throw new PickleError(
      `its pickle is damaged: a tensor [${shape}] reaches past the ${storage.length} numbers of its storage`,
    );
  }
  return new TorchTensor(storage, first, shape, steps);
}

function rebuildParameter([tensor]: readonly unknown[]): TorchTensor {
  if (!(tensor instanceof TorchTensor)) throw notSo('a parameter');
  return tensor;
}

/** `('storage', type, key, location, count)`, in old files with the place of a view in a larger storage. */
function storageOf(id: unknown): TorchStorage {
  if (!Array.isArray(id)) throw notSo('a storage');
  const [kind, type, key, , count, view = null] = id;
  if (kind !== 'storage' || !(type instanceof NumberType) || typeof key !== 'string') {
    throw notSo('a storage');
  }
  const total = whole(count);
  if (view === null) return new TorchStorage(type, { key, count: total, offset: 0, length: total });
  if (!Array.isArray(view)) throw notSo('a storage');
  const [offset, length] = [whole(view[1]), whole(view[2])];
  if (offset + length > total) throw notSo('a storage');
  return new TorchStorage(type, { key, count: total, offset, length });
}

function numbers(values: unknown): number[] {
  if (!Array.isArray(values)) throw notSo('a size');
  return values.map(whole);
}

function whole(value: unknown): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) throw notSo('a size');
  return value;
}

function notSo(what: string): PickleError {
  return new PickleError(`its pickle is damaged: ${what} is not written as torch writes it`);
}
