import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CheckpointError } from '../errors.ts';
import { readAll, type TensorSource } from './tensor-source.ts';
import { openTorchFile } from './torch-file.ts';

/** Written by golden/make/torch_files.py. */
const GOLDEN = fileURLToPath(new URL('../../../../test/parity/golden/torch/', import.meta.url));
type Expected = Record<string, { shape: number[]; values: number[] }>;
const EXPECTED: { state: Expected; module: Expected } = JSON.parse(
  readFileSync(join(GOLDEN, 'expected.json'), 'utf8'),
);

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'blip2-torch-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function expectTensors(tensors: TensorSource, expected: Expected): Promise<void> {
  expect([...tensors.keys()]).toEqual(Object.keys(expected));
  for (const [name, { shape, values }] of Object.entries(expected)) {
    const tensor = tensors.get(name)!;
    expect(tensor.shape, name).toEqual(shape);
    expect([...(await readAll(tensor))], name).toEqual(values.map(Math.fround));
  }
}

/** A file of these bytes. */
async function fileOf(bytes: Uint8Array): Promise<string> {
  const path = join(folder, 'changed.bin');
  await writeFile(path, bytes);
  return path;
}

/** Everything that can be read of a file, values and all. */
async function readWhole(path: string): Promise<void> {
  const { tensors } = await openTorchFile(path);
  for (const tensor of tensors.values()) await readAll(tensor);
}

describe('a file of torch.save', () => {
  it.each(['state.bin', 'state-zip64.bin', 'state-legacy.bin'])(
    '%s gives every floating-point type, and tensors that are views',
    async (file) => {
      const { tensors } = await openTorchFile(join(GOLDEN, file));
      await expectTensors(tensors, EXPECTED.state);
    },
  );

  it.each([3, 4, 5])('of a module is read in protocol %i', async (protocol) => {
    const path = join(GOLDEN, `module-protocol-${protocol}.bin`);
    await expectTensors((await openTorchFile(path)).tensors, EXPECTED.module);
  });

  it('of a trainer gives its model, and its config beside it', async () => {
    const { tensors, beside } = await openTorchFile(join(GOLDEN, 'trainer.pth'));
    await expectTensors(tensors, EXPECTED.module);
    expect(beside.get('epoch')).toBe(2);
    expect(beside.get('config')).toEqual(
      new Map([
        [
          'run',
          new Map<string, unknown>([
            ['lr_sched', 'x'],
            ['max_epoch', 5],
          ]),
        ],
        [
          'model',
          new Map<string, unknown>([
            ['arch', 'blip2_opt'],
            ['image_size', 364],
          ]),
        ],
      ]),
    );
  });

  it('gives a part of a tensor, in order or not', async () => {
    const { tensors } = await openTorchFile(join(GOLDEN, 'state.bin'));
    for (const name of ['float', 'transposed', 'permuted', 'steps']) {
      const expected = EXPECTED.state[name]!.values.slice(2, 4).map(Math.fround);
      expect([...(await readAll(tensors.get(name)!, 2, 4))], name).toEqual(expected);
    }
  });

  it('says which tensors are one', async () => {
    const { tensors } = await openTorchFile(join(GOLDEN, 'state.bin'));
    expect(tensors.get('tied')!.origin).toBe(tensors.get('float')!.origin);
    expect(tensors.get('transposed')!.origin).not.toBe(tensors.get('float')!.origin);
  });

  it('may hold whole numbers, which cannot be weights', async () => {
    const { tensors } = await openTorchFile(join(GOLDEN, 'integers.bin'));
    expect(tensors.get('integers')).toMatchObject({ shape: [5], dtype: 'I64', bytes: 40 });
    await expect(readAll(tensors.get('integers')!)).rejects.toThrow(
      /tensor "integers" has the unsupported type I64/,
    );
  });
});

describe('code in a file of torch.save', () => {
  it.each(['hostile.bin', 'hostile-legacy.bin'])('%s is refused by name', async (file) => {
    await expect(openTorchFile(join(GOLDEN, file))).rejects.toThrow(/asks for "posix\.system"/);
    expect(existsSync('/tmp/code-of-a-checkpoint-ran')).toBe(false);
  });

  it.each([
    ['whole-module.bin', /asks for "torch\.nn\.modules\.linear\.Linear"/],
    ['complex.bin', /asks for "torch\.ComplexFloatStorage"/],
    ['torchscript.bin', /TorchScript program/],
    [
      'not-only-tensors.bin',
      /holds a string under "note", where a tensor belongs: save the state dict alone/,
    ],
    ['list.bin', /holds a list, no tensors by name/],
  ])('and what else is no state dict: %s', async (file, message) => {
    await expect(openTorchFile(join(GOLDEN, file))).rejects.toThrow(message);
  });
});

describe('a damaged file of torch.save', () => {
  it.each<[string, Uint8Array, RegExp]>([
    ['nothing', new Uint8Array(), /is no file of torch\.save: download it again/],
    ['text', Buffer.from('hello world'), /is no file of torch\.save: download it again/],
    ['a pointer', Buffer.from('version https://git-lfs.github.com/spec/v1\n'), /git lfs pull/],
    ['a GGUF file', Buffer.from('GGUF\x03\0\0\0'), /but a GGUF file/],
    ['an HDF5 file', Buffer.from('\x89HDF\r\n\x1a\n', 'latin1'), /but an HDF5 file/],
    ['a web page', Buffer.from('<!DOCTYPE html>'), /but a web page/],
    ['a pickle of a number', Buffer.from('80024b2a2e', 'hex'), /pickle of something else/],
    ['a zip of nothing', Buffer.from(`504b0506${'0'.repeat(36)}`, 'hex'), /no file of torch/],
  ])('%s is refused', async (_name, bytes, message) => {
    await expect(openTorchFile(await fileOf(bytes))).rejects.toThrow(message);
  });

  it('whose pickle is longer than that of any checkpoint is refused by the bound', async () => {
    const marks = new Uint8Array(17 << 20).fill(0x28);
    marks.set([0x80, 2]);
    await expect(openTorchFile(await fileOf(marks))).rejects.toThrow(
      /its pickle has more than 16777216 bytes: save the state_dict\(\) alone/,
    );
  });

  it.each(['state.bin', 'state-legacy.bin', 'trainer.pth'])(
    '%s cut off anywhere is refused by name',
    async (name) => {
      const whole = await readFile(join(GOLDEN, name));
      for (let length = 0; length < whole.length; length += 23) {
        const error = await readWhole(await fileOf(whole.subarray(0, length))).catch((e) => e);
        expect(error, `${length}`).toBeInstanceOf(CheckpointError);
        expect(error.message).toContain('changed.bin');
      }
    },
  );

  it.each(['state.bin', 'state-zip64.bin', 'state-legacy.bin', 'trainer.pth'])(
    '%s with any byte changed is read or refused, never more',
    async (name) => {
      const whole = await readFile(join(GOLDEN, name));
      for (let at = 0; at < whole.length; at += 11) {
        const changed = Uint8Array.from(whole);
        changed[at]! ^= 1 << (at % 8);
        const error = await readWhole(await fileOf(changed)).catch((e) => e);
        if (error !== undefined)
          expect(error, `${at}: ${error.stack}`).toBeInstanceOf(CheckpointError);
      }
    },
  );

  it('with compressed members is refused by name', async () => {
    const whole = await readFile(join(GOLDEN, 'state.bin'));
    const changed = Uint8Array.from(whole);
    const directory = whole.indexOf(Buffer.from([0x50, 0x4b, 1, 2]));
    changed[directory + 10] = 8;
    await expect(openTorchFile(await fileOf(changed))).rejects.toThrow(
      /data\.pkl in it is compressed/,
    );
  });

  it('whose members share bytes is refused', async () => {
    const whole = await readFile(join(GOLDEN, 'state.bin'));
    const changed = Buffer.from(whole);
    const record = Buffer.from([0x50, 0x4b, 1, 2]);
    const first = whole.indexOf(record);
    const second = whole.indexOf(record, first + 4);
    // Where a member begins stands at byte 42 of its record.
    changed.writeUInt32LE(whole.readUInt32LE(first + 42), second + 42);
    await expect(openTorchFile(await fileOf(changed))).rejects.toThrow(/overlaps another member/);
  });
});
