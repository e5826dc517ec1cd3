/** Reads what `torch.save` wrote, without running it: zip archives of torch 1.6 and later, and the older format. */
import type { FileHandle } from 'node:fs/promises';
import { naming } from '../../file-errors.ts';
import { elementCount } from '../../onnx/weight.ts';
import { openRegular } from '../../regular-file.ts';
import { CheckpointError } from '../errors.ts';
import { PickleError } from './pickle-reader.ts';
import { readExactly } from './stored-values.ts';
import { expectTensorCount, expectTensorInBounds, type StoredTensor } from './tensor-source.ts';
import { readLegacyFile } from './torch-legacy.ts';
import { type TorchFile, TorchTensor, torchPickle } from './torch-pickle.ts';
import { stridedTensor } from './torch-strides.ts';
import { unpickle } from './unpickle.ts';
import { readZipDirectory } from './zip-directory.ts';

/** Without weights, a pickle is small: that of a checkpoint with its optimizer has a few MB. */
const MAX_PICKLE_BYTES = 16 << 20;

const WEB_PAGE = 'a web page: the download went wrong';
/** Beginnings of what is often named `.bin` too. */
const OTHER_FORMATS: readonly [start: Buffer, name: string][] = [
  [Buffer.from('version https://git-lfs'), 'a pointer of git-LFS: run git lfs pull where it lies'],
  [Buffer.from('GGUF'), 'a GGUF file of llama.cpp'],
  [Buffer.from('\x89HDF\r\n\x1a\n', 'latin1'), 'an HDF5 file of Keras or TensorFlow'],
  [Buffer.from('\x1f\x8b', 'latin1'), 'a gzip archive: unpack it first'],
  [Buffer.from('<!doctype'), WEB_PAGE],
  [Buffer.from('<!DOCTYPE'), WEB_PAGE],
  [Buffer.from('<html'), WEB_PAGE],
];

/**
 * The tensors of a file by name, and what else stands beside them.
 * @throws CheckpointError naming the file when it is damaged, holds no tensors by name, or asks for code to be run
 */
export async function openTorchFile(
  path: string,
): Promise<{ tensors: Map<string, StoredTensor>; beside: ReadonlyMap<unknown, unknown> }> {
  const fail = (why: string, cause?: unknown) => new CheckpointError(`${path}: ${why}.`, { cause });
  await using file = await openRegular(path);
  const { size } = await file.stat();
  try {
    const { root, locate } = await naming(path, () => readFile(file, size, fail));
    const { state, beside } = stateDict(root, fail);
    const tensors = new Map<string, StoredTensor>();
    for (const [name, value] of state) {
      tensors.set(name, stored(value, { name, path, locate, fail }));
    }
    return { tensors, beside };
  } catch (cause) {
    if (cause instanceof PickleError) throw fail(cause.message, cause);
    throw cause;
  }
}

type Fail = (why: string) => CheckpointError;

async function readFile(file: FileHandle, size: number, fail: Fail): Promise<TorchFile> {
  const start = await readExactly(file, 0, Math.min(size, 512));
  if (start.length >= 4 && start.readUInt32LE() === 0x04034b50) {
    return await readArchive(file, size, fail);
  }
  const other = OTHER_FORMATS.find(([magic]) => start.subarray(0, magic.length).equals(magic));
  if (other !== undefined) throw fail(`is no file of torch.save but ${other[1]}`);
  if (start.subarray(257, 262).toString('latin1') === 'ustar') {
    throw fail('is of a version of torch before 0.2: load it and save it again with a newer one');
  }
  // A length in eight bytes, then JSON.
  if (start[8] === 0x7b && start.readBigUInt64LE() < size) {
    throw fail('is no file of torch.save but one of safetensors: name it model.safetensors');
  }
  if (start[0] === 0x80) return await readLegacyFile(file, size, MAX_PICKLE_BYTES, fail);
  throw fail('is no file of torch.save: download it again');
}

async function readArchive(file: FileHandle, size: number, fail: Fail): Promise<TorchFile> {
  const members = await readZipDirectory(file, size, (why) => fail(`is damaged: ${why}`));
  const pickle = [...members].find(([name]) => /^[^/]*\/data\.pkl$/.test(name));
  if (pickle === undefined) throw fail('is a zip archive of something else: data.pkl is not in it');
  const [name, { offset, bytes }] = pickle;
  const folder = name.slice(0, -'data.pkl'.length);
  if (members.has(`${folder}constants.pkl`)) {
    throw fail('is a TorchScript program (torch.jit.save): save its state_dict() instead');
  }
  const compressed = [...members].find(([, { isCompressed }]) => isCompressed)?.[0];
  if (compressed !== undefined) {
    throw fail(`${compressed} in it is compressed, which torch.save never does: save it again`);
  }
  const order = members.get(`${folder}byteorder`);
  if (order !== undefined && order.bytes < 16) {
    const text = (await readExactly(file, order.offset, order.bytes)).toString().trim();
    if (text !== 'little') throw fail(`has ${text}-endian numbers: save it again on this machine`);
  }
  if (bytes > MAX_PICKLE_BYTES)
    throw fail(
      `its data.pkl has ${bytes} bytes, and at most ${MAX_PICKLE_BYTES} are supported: save the state_dict() alone`,
    );
  const { value } = unpickle(await readExactly(file, offset, bytes), 0, torchPickle());
  return { root: value, locate: (key) => members.get(`${folder}data/${key}`) };
}

/** Names under which trainers put the state dict: LAVIS and many more, Lightning, DeepSpeed. */
const NESTED = ['model', 'state_dict', 'module', 'model_state_dict'];

function stateDict(
  root: unknown,
  fail: Fail,
): { state: [string, TorchTensor][]; beside: ReadonlyMap<unknown, unknown> } {
  if (!(root instanceof Map)) throw fail(`holds ${kindOf(root)}, no tensors by name`);
  const key = NESTED.find((name) => root.get(name) instanceof Map);
  const inner: ReadonlyMap<unknown, unknown> = key === undefined ? root : root.get(key);
  const beside = new Map(key === undefined ? [] : [...root].filter(([name]) => name !== key));
  expectTensorCount(inner.size, fail);
  const state: [string, TorchTensor][] = [];
  for (const [name, value] of inner) {
    if (typeof name === 'string' && value instanceof TorchTensor) state.push([name, value]);
    else
      throw fail(
        `holds ${kindOf(value)} under ${JSON.stringify(String(name).slice(0, 100))}, where a tensor belongs: save the state dict alone, torch.save(model.state_dict(), …)`,
      );
  }
  if (state.length === 0) throw fail('holds no tensors');
  for (const [name, { shape }] of state) expectTensorInBounds(name, shape, fail);
  return { state, beside };
}

function kindOf(value: unknown): string {
  if (value instanceof TorchTensor) return 'a tensor';
  if (value instanceof Map) return 'a dict';
  if (Array.isArray(value)) return 'a list';
  return value === null ? 'None' : `a ${typeof value}`;
}

function stored(
  tensor: TorchTensor,
  {
    name,
    path,
    locate,
    fail,
  }: { name: string; path: string; locate: TorchFile['locate']; fail: Fail },
): StoredTensor {
  const { storage } = tensor;
  const place = locate(storage.key);
  if (place === undefined) throw fail(`the values of "${name}" are not in it: it is cut off`);
  const total = storage.count * storage.width;
  if (place.bytes !== total) {
    throw fail(`the values of "${name}" have ${place.bytes} bytes, not ${total}: it is damaged`);
  }
  const offset = place.offset + storage.offset * storage.width;
  const origin = `${path}:${offset + tensor.offset * storage.width}`;
  const bytes = elementCount(tensor.shape) * storage.width;
  const values = { name, path, dtype: storage.dtype, offset };
  return {
    shape: tensor.shape,
    dtype: storage.dtype,
    bytes,
    origin: `${origin} ${tensor.strides}`,
    read: stridedTensor(values, tensor),
  };
}
