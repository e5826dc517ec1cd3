/** Weights become the same bundle in whatever file they come, and a folder without any is refused with what it holds instead. */
import { copyFile, cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ensureBundle, readManifest } from '@blip2/gpu-worker/builder/index';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readGolden, readT5Golden } from '../../tools/eval/goldens.ts';
import { editTensors, type Header } from '../support/edit-checkpoint.ts';

/** Written by golden/make/torch_files.py: the weights of the case `half`. */
const TORCH = fileURLToPath(new URL('../parity/golden/torch/', import.meta.url));
const POINTER = `version https://git-lfs.github.com/spec/v1
oid sha256:${'3f'.repeat(32)}
size 123456789
`;

let root: string;
let bundles: string;
let checkpoint: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'blip2-formats-'));
  bundles = join(root, 'bundles');
  checkpoint = join(root, 'checkpoint');
  await cp(readGolden('half').checkpoint, checkpoint, { recursive: true });
});
afterEach(() => rm(root, { recursive: true, force: true }));

async function graphsOf(folder: string) {
  const { files } = await readManifest(await ensureBundle(folder, { bundles }));
  return files.filter(({ path }) => /\.(onnx|bin)$/.test(path));
}

const at = (...names: string[]) => join(checkpoint, ...names);
const removeWeights = () => rm(at('model.safetensors'));

describe('weights of torch', () => {
  it.each<[string, () => Promise<void>]>([
    [
      'in pytorch_model.bin, behind a wrapper',
      () => copyFile(join(TORCH, 'wrapped.bin'), at('pytorch_model.bin')),
    ],
    ['in a file of any name', () => copyFile(join(TORCH, 'wrapped.bin'), at('best.ckpt'))],
    [
      'in shards, transposed and old ones among them',
      () => cp(join(TORCH, 'shards'), checkpoint, { recursive: true }),
    ],
  ])('%s give the same bundle as safetensors', async (_name, add) => {
    const expected = await graphsOf(readGolden('half').checkpoint);
    await removeWeights();
    await add();
    expect(await graphsOf(checkpoint)).toEqual(expected);
  });

  it('are those of the model within another, whatever that calls it', async () => {
    await editTensors(checkpoint, (header) => {
      for (const [name, entry] of Object.entries(header)) {
        delete header[name];
        header[name === '__metadata__' ? name : `net.blip2.${name}`] = entry;
      }
    });
    expect(await graphsOf(checkpoint)).toEqual(await graphsOf(readGolden('half').checkpoint));
  });

  it('stand behind safetensors in the same folder', async () => {
    await copyFile(join(TORCH, 'hostile.bin'), at('pytorch_model.bin'));
    expect(await graphsOf(checkpoint)).toEqual(await graphsOf(readGolden('half').checkpoint));
  });

  it('that name code are refused before anything is built', async () => {
    await removeWeights();
    await copyFile(join(TORCH, 'hostile.bin'), at('pytorch_model.bin'));
    await expect(ensureBundle(checkpoint, { bundles })).rejects.toThrow(
      /pytorch_model\.bin: it asks for "posix\.system"\..* torch\.save its state_dict\(\)/,
    );
  });

  it.each<[string, () => Promise<void>, RegExp]>([
    [
      'that are of safetensors',
      () => copyFile(at('model.safetensors'), at('pytorch_model.bin')),
      /one of safetensors: name it model\.safetensors/,
    ],
    [
      'that are a web page',
      () => writeFile(at('pytorch_model.bin'), '<!doctype html><title>Not found</title>'),
      /a web page: the download went wrong/,
    ],
    [
      'that are something else',
      () => writeFile(at('pytorch_model.bin'), 'Entry not found'),
      /is no file of torch\.save: download it again/,
    ],
    [
      'that a cache has links to and no more',
      () => symlink(at('gone'), at('pytorch_model.bin')),
      /pytorch_model\.bin is a link to a file that is gone: download/,
    ],
    [
      'whose index is none',
      () => writeFile(at('pytorch_model.bin.index.json'), '{"weight_map": []}'),
      /weight_map = \[\]: .*expected record/,
    ],
  ])('%s are refused with what to do', async (_name, put, message) => {
    await put();
    await removeWeights();
    await expect(ensureBundle(checkpoint, { bundles })).rejects.toThrow(message);
  });

  it('may lie beside a link of an editor that leads nowhere', async () => {
    await symlink('someone@host.1', at('.#config.json'));
    await ensureBundle(checkpoint, { bundles });
  });

  it('may lie beside what trainers leave', async () => {
    await removeWeights();
    await copyFile(join(TORCH, 'wrapped.bin'), at('weights.pt'));
    for (const file of ['optimizer.pt', 'scheduler.pt', 'rng_state.pth', 'training_args.bin']) {
      await writeFile(at(file), 'whatever');
    }
    expect(await graphsOf(checkpoint)).toHaveLength(6);
  });

  it('in several files of any name are refused', async () => {
    await removeWeights();
    for (const file of ['a.pth', 'b.pth']) await copyFile(join(TORCH, 'wrapped.bin'), at(file));
    await expect(ensureBundle(checkpoint, { bundles })).rejects.toThrow(
      /several files that may be the weights: a\.pth, b\.pth/,
    );
    const expected = await graphsOf(readGolden('half').checkpoint);
    expect(await graphsOf(at('b.pth'))).toEqual(expected);
  });
});

describe("T5's embedding", () => {
  const SHARED = 'language_model.shared.weight';
  const NAMES = [
    'language_model.encoder.embed_tokens.weight',
    'language_model.decoder.embed_tokens.weight',
  ];
  const t5 = async (edit: (header: Header) => void) => {
    const folder = join(root, 't5');
    await cp(readT5Golden('t5').checkpoint, folder, { recursive: true });
    await editTensors(folder, edit);
    return folder;
  };

  it.each(NAMES)('may have the name %s alone', async (name) => {
    const folder = await t5((header) => {
      header[name] = header[SHARED]!;
      delete header[SHARED];
    });
    expect(await graphsOf(folder)).toEqual(await graphsOf(readT5Golden('t5').checkpoint));
  });

  it('may have all its names', async () => {
    const folder = await t5((header) => {
      for (const name of NAMES) header[name] = header[SHARED]!;
    });
    expect(await graphsOf(folder)).toEqual(await graphsOf(readT5Golden('t5').checkpoint));
  });

  it('must be one under all its names', async () => {
    const folder = await t5((header) => {
      const { dtype, shape, data_offsets } = header[SHARED]!;
      const [from, to] = data_offsets as [number, number];
      const shifted = from >= 4 ? [from - 4, to - 4] : [from + 4, to + 4];
      header[NAMES[0]!] = { dtype, shape, data_offsets: shifted };
    });
    await expect(ensureBundle(folder, { bundles })).rejects.toThrow(
      /encoder\.embed_tokens\.weight" differs from "language_model\.shared\.weight"/,
    );
  });
});

describe('a pointer of git-LFS', () => {
  it.each(['model.safetensors', 'config.json', 'tokenizer.json', 'spiece.model'])(
    'in place of %s stops the build at once, with what to do',
    async (file) => {
      await writeFile(at(file), POINTER);
      await expect(ensureBundle(checkpoint, { bundles })).rejects.toThrow(
        `${file} is a pointer of git-LFS, not the file itself: run "git lfs install && git lfs pull" in ${checkpoint}`,
      );
    },
  );

  it('among shards is named, and so are all', async () => {
    await removeWeights();
    await cp(join(TORCH, 'shards'), checkpoint, { recursive: true });
    await writeFile(at('pytorch_model-00002-of-00003.bin'), POINTER);
    await writeFile(at('tokenizer.json'), POINTER);
    await expect(ensureBundle(checkpoint, { bundles })).rejects.toThrow(
      /pytorch_model-00002-of-00003\.bin, tokenizer\.json are pointers of git-LFS, not the files/,
    );
  });

  it.each(['vocab.json', 'merges.txt', 'special_tokens_map.json', 'preprocessor_config.json'])(
    'in place of %s is named, which need not be large',
    async (file) => {
      await writeFile(at(file), POINTER);
      await expect(ensureBundle(checkpoint, { bundles })).rejects.toThrow(
        `${file} is a pointer of git-LFS`,
      );
    },
  );

  it('in place of what is not read stops nothing', async () => {
    for (const file of ['pytorch_model.bin', 'tf_model.h5', 'dog.png', 'optimizer.pt']) {
      await writeFile(at(file), POINTER);
    }
    expect(await graphsOf(checkpoint)).toHaveLength(6);
  });

  it('in place of the index of shards is named', async () => {
    await removeWeights();
    await writeFile(at('model.safetensors.index.json'), POINTER);
    await expect(ensureBundle(checkpoint, { bundles })).rejects.toThrow(
      'model.safetensors.index.json is a pointer of git-LFS',
    );
  });

  it('in place of an adapter is named', async () => {
    await writeFile(at('adapter_config.json'), '{"peft_type": "LORA"}');
    await writeFile(at('adapter_model.safetensors'), POINTER);
    await expect(ensureBundle(checkpoint, { bundles })).rejects.toThrow(
      /adapter_model.*git lfs pull/,
    );
  });
});

describe('shards', () => {
  const INDEX = 'pytorch_model.bin.index.json';
  const LAST = 'pytorch_model-00003-of-00003.bin';
  beforeEach(async () => {
    await removeWeights();
    await cp(join(TORCH, 'shards'), checkpoint, { recursive: true });
  });
  const editIndex = async (edit: (map: Record<string, string>) => unknown) => {
    const index = JSON.parse(await readFile(at(INDEX), 'utf8'));
    edit(index.weight_map);
    await writeFile(at(INDEX), JSON.stringify(index));
  };

  it('that are missing are named, and what to do', async () => {
    await rm(at(LAST));
    await expect(ensureBundle(checkpoint, { bundles })).rejects.toThrow(
      `lacks the shard ${LAST}, which ${INDEX} names: download it, or the whole checkpoint again.`,
    );
  });

  it('that the index does not name are named', async () => {
    await editIndex((map) => {
      for (const [name, shard] of Object.entries(map)) if (shard === LAST) delete map[name];
    });
    await expect(ensureBundle(checkpoint, { bundles })).rejects.toThrow(
      new RegExp(`${INDEX} does not name ${LAST}, of the same set .*of different saves`),
    );
  });

  it('without a tensor that the index finds in them are named', async () => {
    await editIndex((map) => Object.assign(map, { 'query_tokens.2': LAST }));
    await expect(ensureBundle(checkpoint, { bundles })).rejects.toThrow(
      `says that "query_tokens.2" is in ${LAST}, which does not hold it`,
    );
  });

  it('of another save beside them are not read', async () => {
    await writeFile(at('pytorch_model-00001-of-00002.bin'), 'older');
    expect(await graphsOf(checkpoint)).toEqual(await graphsOf(readGolden('half').checkpoint));
  });
});

describe('a file in place of its folder', () => {
  it.each([
    ['config.json', 'no file of weights'],
    ['model.safetensors.index.json', 'no file of weights'],
    ['model-00001-of-00002.safetensors', 'one of several shards'],
  ])('%s is named', async (file, what) => {
    await writeFile(at(file), '{}');
    await expect(ensureBundle(at(file), { bundles })).rejects.toThrow(
      `${at(file)} is ${what}: give its folder, ${checkpoint}.`,
    );
  });
});

describe('a folder without weights that can be read', () => {
  const write =
    (...files: string[]) =>
    async () => {
      for (const file of files) await writeFile(at(file), 'whatever');
    };
  it.each<[string, () => Promise<void>, RegExp]>([
    [
      'shards without their index',
      write('model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors'),
      /2 shards \(model-00001-of-00002\.safetensors\) and no index of them: add model\.safetensors\.index\.json/,
    ],
    [
      'shards of torch without their index',
      write('pytorch_model-00001-of-00002.bin'),
      /1 shard .* add pytorch_model\.bin\.index\.json/,
    ],
    [
      'a variant',
      write('model.fp16.safetensors'),
      /only a variant .*model\.fp16\.safetensors: rename it to model\.safetensors/,
    ],
    [
      'a variant of torch',
      write('pytorch_model.fp16.bin.x', 'model.bf16.safetensors'),
      /rename it to model\.safetensors/,
    ],
    [
      'another name',
      write('weights.safetensors'),
      /has weights\.safetensors but no model\.safetensors: .* rename it/,
    ],
    ['GGUF', write('blip2-Q4_K.gguf'), /blip2-Q4_K\.gguf, a GGUF file of llama\.cpp/],
    ['TensorFlow', write('tf_model.h5'), /weights of TensorFlow \(tf_model\.h5\).*from_tf=True/],
    ['Flax', write('flax_model.msgpack'), /weights of Flax .*from_flax=True/],
    ['ONNX', write('model.onnx'), /a graph \(model\.onnx\)/],
    [
      'an adapter without config',
      write('adapter_model.safetensors'),
      /an adapter \(adapter_model\.safetensors\) without adapter_config\.json/,
    ],
    ['DeepSpeed', write('zero_to_fp32.py'), /DeepSpeed: run python zero_to_fp32\.py/],
    ['a distributed checkpoint', write('__0_0.distcp'), /distributed checkpoint/],
    [
      'trainer checkpoints',
      () => mkdir(at('checkpoint-500')).then(() => {}),
      /only checkpoints of a trainer \(checkpoint-500\): give one/,
    ],
    [
      "a trainer's rest",
      write('training_args.bin', 'optimizer.pt'),
      /a trainer's own state \(optimizer\.pt, training_args\.bin\) but no model/,
    ],
    [
      "LAVIS's image encoder",
      write('eva_vit_g.pth'),
      /LAVIS's image encoder \(eva_vit_g\.pth\) alone/,
    ],
    [
      'nothing else',
      write(),
      /neither model\.safetensors nor model\.safetensors\.index\.json, nor pytorch_model\.bin.* It holds config\.json/,
    ],
  ])('but %s says so, and what to do', async (_name, add, message) => {
    await removeWeights();
    await add();
    await expect(ensureBundle(checkpoint, { bundles })).rejects.toThrow(message);
  });

  it.each([
    [
      'of something else',
      'hello world',
      /pytorch_model\.bin: is no file of torch\.save: download it again/,
    ],
    ['of llama.cpp', 'GGUF\x03', /pytorch_model\.bin: is no file of torch\.save but a GGUF file/],
  ])('but a .bin %s says so', async (_name, content, message) => {
    await removeWeights();
    await writeFile(at('pytorch_model.bin'), content);
    await expect(ensureBundle(checkpoint, { bundles })).rejects.toThrow(message);
  });

  it('but weights without a config says so', async () => {
    await rm(at('config.json'));
    await expect(ensureBundle(checkpoint, { bundles })).rejects.toThrow(
      /has weights \(model\.safetensors\) but no config\.json/,
    );
  });

  it('that is empty or not there says so', async () => {
    await mkdir(join(root, 'empty'));
    await expect(ensureBundle(join(root, 'empty'), { bundles })).rejects.toThrow(/It is empty/);
    await expect(ensureBundle(join(root, 'nowhere'), { bundles })).rejects.toThrow(
      /nowhere is not a folder that can be read/,
    );
  });

  it('is what a text file is', async () => {
    const config = await readFile(at('config.json'));
    await writeFile(at('model.safetensors'), config);
    await expect(ensureBundle(checkpoint, { bundles })).rejects.toThrow(/not a safetensors file/);
  });
});
