/** T5's embedding has three names: files hold it under any of them, and it is one tensor. */

import { elementCount } from '../../onnx/weight.ts';
import { CheckpointError } from '../errors.ts';
import { readAll, type StoredTensor, type TensorSource } from './tensor-source.ts';

const SHARED = 'language_model.shared.weight';
const COPIES = [
  'language_model.encoder.embed_tokens.weight',
  'language_model.decoder.embed_tokens.weight',
];
/** Stands for the embedding in a file that was saved without the tensors tied to it. */
const HEAD = 'language_model.lm_head.weight';

/** The tensors, with T5's embedding under its first name whichever the file has. */
export function tieEmbeddings(tensors: TensorSource): TensorSource {
  if (tensors.has(SHARED) || !isT5(tensors)) return tensors;
  const name = [...COPIES, HEAD].find((copy) => tensors.has(copy));
  if (name === undefined) return tensors;
  return new Map([...tensors, [SHARED, tensors.get(name)!]]);
}

function isT5(tensors: TensorSource): boolean {
  return tensors.keys().some((name) => name.startsWith('language_model.encoder.'));
}

/**
 * Compares the copies that a file holds.
 * @throws CheckpointError naming a copy that is another embedding: graphs have one for encoder and decoder
 */
export async function expectTied(tensors: TensorSource): Promise<void> {
  const shared = tensors.get(SHARED);
  if (shared === undefined) return;
  for (const name of COPIES) {
    const copy = tensors.get(name);
    if (copy === undefined || isOne(copy, shared) || (await isSame(copy, shared))) continue;
    throw new CheckpointError(
      `"${name}" differs from "${SHARED}": encoder and decoder with embeddings of their own are not supported.`,
    );
  }
}

function isOne(a: StoredTensor, b: StoredTensor): boolean {
  return a === b || (a.origin !== undefined && a.origin === b.origin);
}

const PIECE_VALUES = 1 << 20;

async function isSame(a: StoredTensor, b: StoredTensor): Promise<boolean> {
  const count = elementCount(a.shape);
  if (`${a.shape}` !== `${b.shape}`) return false;
  for (let at = 0; at < count; at += PIECE_VALUES) {
    const end = Math.min(at + PIECE_VALUES, count);
    const [one, other] = [await readAll(a, at, end), await readAll(b, at, end)];
    if (one.some((value, i) => !Object.is(value, other[i]))) return false;
  }
  return true;
}
