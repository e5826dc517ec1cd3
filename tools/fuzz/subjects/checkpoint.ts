/** Builds from a checkpoint of which one file was changed: there is a bundle then, or a CheckpointError that names what is wrong. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { readAll } from '@blip2/gpu-worker/builder/checkpoint/tensor-source';
import { composeTokenizer } from '@blip2/gpu-worker/builder/checkpoint/tokenizer-file';
import { openTorchFile } from '@blip2/gpu-worker/builder/checkpoint/torch-file';
import { CheckpointError, ensureBundle } from '@blip2/gpu-worker/builder/index';
import { makeFolder } from '@blip2/gpu-worker/make-folder';
import { createTokenizer } from '@blip2/shared/tokenizer';
import { type ByteEdit, editBytes } from '../generate/byte-edits.ts';
import { editJson, type JsonEdit } from '../generate/json-edits.ts';
import { Violation } from '../violation.ts';
import { BASES, type BaseName, type Goal, readBase, writeBase } from './checkpoint-bases.ts';

export type CheckpointInput = {
  base: BaseName;
  /** Which of its files, round and round. */
  file: string;
  /** Of JSON, and of the header of safetensors. */
  json: readonly JsonEdit[];
  bytes: readonly ByteEdit[];
};

/** A bundle of a small checkpoint needs far less. */
const MOST_MORE_KB = 1_000_000;
const TEXTS = ['a dog', '', ' <image> x', 'naïve 日本 🐕'];

const bases = new Map<BaseName, Map<string, Buffer>>();

export async function readCheckpoint(input: CheckpointInput): Promise<string> {
  const root = await mkdtemp(join(tmpdir(), 'blip2-fuzz-'));
  const before = process.resourceUsage().maxRSS;
  try {
    const folder = join(root, 'checkpoint');
    const files = await filesOf(input.base, join(root, 'base'));
    for (const [file, bytes] of files) {
      const path = join(folder, file);
      await makeFolder(dirname(path));
      await writeFile(path, file === input.file ? edited(file, bytes, input) : bytes);
    }
    const outcome = await outcomeOf(
      BASES[input.base].goal,
      folder,
      input.file,
      join(root, 'bundles'),
    );
    const more = process.resourceUsage().maxRSS - before;
    if (more > MOST_MORE_KB) throw new Violation(`took ${Math.round(more / 1024)} MiB`);
    return outcome;
  } finally {
    await rm(root, { recursive: true, force: true });
  }
}

async function filesOf(base: BaseName, folder: string): Promise<Map<string, Buffer>> {
  const known = bases.get(base);
  if (known !== undefined) return known;
  const files = await readBase(folder, await writeBase(base, folder));
  bases.set(base, files);
  return files;
}

function edited(file: string, bytes: Buffer, { json, bytes: edits }: CheckpointInput): Uint8Array {
  let current: Uint8Array = bytes;
  if (json.length > 0 && file.endsWith('.json')) {
    current = Buffer.from(editJson(JSON.parse(bytes.toString()), json));
  }
  if (json.length > 0 && file.endsWith('.safetensors')) {
    const start = 8 + Number(bytes.readBigUInt64LE());
    const header = Buffer.from(editJson(JSON.parse(bytes.toString('utf8', 8, start)), json));
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(header.length));
    current = Buffer.concat([length, header, bytes.subarray(start)]);
  }
  return editBytes(current, edits);
}

async function outcomeOf(goal: Goal, folder: string, file: string, bundles: string) {
  try {
    if (goal === 'bundle') await ensureBundle(folder, { bundles });
    else if (goal === 'tokenizer') await tokenize(folder);
    else
      for (const tensor of (await openTorchFile(join(folder, file))).tensors.values())
        await readAll(tensor);
    return 'read';
  } catch (error) {
    if (!(error instanceof CheckpointError)) throw error;
    expectPrecise(error.message);
    return 'refused';
  }
}

/** A tokenizer.json that was made of other files must be one that is read. */
async function tokenize(folder: string): Promise<void> {
  const json = await composeTokenizer(folder);
  const { encode, bytesOf } = created(json);
  for (const text of TEXTS) encode(text).map(bytesOf);
}

function created(json: string): ReturnType<typeof createTokenizer> {
  try {
    return createTokenizer(json);
  } catch (error) {
    // The class is its contract; the builder makes a CheckpointError of it.
    if (error instanceof Error && error.constructor === Error)
      throw new CheckpointError(error.message);
    throw error;
  }
}

const ENGINE =
  /Cannot (?:read|convert|set|mix)|is not (?:a function|iterable)|\[object|(?<!received )\bundefined\b|out of memory/;
const NAMES = /\w[._/]\w|"[^"]*"|image processor/;

function expectPrecise(message: string): void {
  // Values of the file are quoted, whatever they are.
  const found = ENGINE.exec(message.replaceAll(/"[^"]*"/g, '""'))?.[0];
  if (found !== undefined)
    throw new Violation(`an error says "${found}": ${message.slice(0, 400)}`);
  if (!NAMES.test(message)) throw new Violation(`an error names nothing: ${message.slice(0, 400)}`);
}
