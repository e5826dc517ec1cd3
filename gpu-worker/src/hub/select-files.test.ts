/** Of every kind of repository come the files that a bundle needs, or nothing where it could not be built of them. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { resolveCheckpoint } from './resolve.ts';
import { HubFixture } from './testing/hub-fixture.ts';
import { COMMIT, MODEL } from './testing/hub-server.ts';

const TOKENIZER = ['tokenizer.json'];
const CHECKPOINT = ['config.json', ...TOKENIZER];
const SLOW = ['vocab.json', 'merges.txt', 'added_tokens.json', 'special_tokens_map.json'];

/** A hub whose model has files of these names, each with its name in it. */
async function hubWith(names: readonly string[], texts: Record<string, string> = {}) {
  const fixture = await HubFixture.open();
  fixture.hub.files.clear();
  for (const name of names) fixture.hub.files.set(name, Buffer.from(texts[name] ?? name));
  return fixture;
}

const index = (...shards: string[]) =>
  JSON.stringify({ weight_map: Object.fromEntries(shards.map((shard) => [shard, shard])) });

describe('a repository with', () => {
  it.each<[what: string, needed: string[], others: string[]]>([
    ['PyTorch weights', [...CHECKPOINT, 'pytorch_model.bin'], ['tf_model.h5', 'training_args.bin']],
    [
      'weights in both formats',
      [...CHECKPOINT, 'model.safetensors'],
      ['pytorch_model.bin', 'pytorch_model.bin.index.json', 'model.fp16.safetensors', 'old.pth'],
    ],
    [
      'the files of an older tokenizer',
      ['config.json', 'model.safetensors', 'tokenizer_config.json', ...SLOW],
      ['flax_model.msgpack'],
    ],
    ['a SentencePiece model', ['config.json', 'model.safetensors', 'spiece.model'], []],
    ['a WordPiece vocabulary', ['config.json', 'model.safetensors', 'vocab.txt'], []],
    [
      'an adapter alone',
      ['adapter_config.json', 'adapter_model.safetensors', 'README.md'],
      ['adapter_model.bin', 'training_args.bin', 'optimizer.pt'],
    ],
    [
      'an adapter in PyTorch, and words of its own',
      ['adapter_config.json', 'adapter_model.bin', 'added_tokens.json', ...TOKENIZER],
      [],
    ],
    [
      'an adapter beside its base',
      [...CHECKPOINT, 'model.safetensors', 'adapter_config.json', 'adapter_model.safetensors'],
      [],
    ],
    ['a checkpoint of LAVIS', ['checkpoint_best.pth', 'lavis.json'], ['log.txt']],
    ['one with its image encoder', ['pretrained.pth', 'eva_vit_g.pth', ...TOKENIZER], []],
  ])('%s gives what a bundle needs and no more', async (_what, needed, others) => {
    await using fixture = await hubWith([...needed, ...others]);
    await fixture.pull();
    for (const name of others) fixture.hub.files.delete(name);
    await fixture.expectWhole();

    fixture.hub.requests.length = 0;
    expect(await resolveCheckpoint(MODEL, fixture.options)).toBe(fixture.folder);
    expect(fixture.hub.requests).toEqual([]);
  });

  it('no tokenizer is pulled where none is needed, as of the base of an adapter that has one', async () => {
    const names = [
      'config.json',
      'model.safetensors',
      'preprocessor_config.json',
      '.gitattributes',
    ];
    await using fixture = await hubWith(names);
    const found = () => resolveCheckpoint(MODEL, fixture.options, { isTokenizerNeeded: false });
    expect(await found()).toBe(fixture.folder);
    fixture.hub.requests.length = 0;
    expect(await found()).toBe(fixture.folder);
    expect(fixture.hub.requests).toEqual([]);
    await expect(resolveCheckpoint(MODEL, fixture.options)).rejects.toThrow(/has no tokenizer/);
  });

  it('PyTorch weights in shards gives the shards of the index', async () => {
    const shards = ['pytorch_model-00001-of-00002.bin', 'pytorch_model-00002-of-00002.bin'];
    const list = 'pytorch_model.bin.index.json';
    await using fixture = await hubWith([...CHECKPOINT, list, ...shards], {
      [list]: index(...shards),
    });
    await fixture.pull();
    await fixture.expectWhole();
  });

  it.each<[what: string, names: string[], message: RegExp]>([
    ['no tokenizer', ['config.json', 'model.safetensors'], /has no tokenizer: neither/],
    [
      'half of a tokenizer',
      ['config.json', 'pytorch_model.bin', 'vocab.json'],
      /has no tokenizer: neither/,
    ],
    ['a checkpoint of LAVIS and nothing else', ['pretrained.pth'], /has no tokenizer: neither/],
    ['no weights', CHECKPOINT, /has no weights\./],
    [
      'weights of Flax',
      [...CHECKPOINT, 'flax_model.msgpack'],
      /no weights that can be read.*only flax_model.msgpack\. .*safe_serialization/,
    ],
    ['weights without a config', ['model.safetensors', ...TOKENIZER], /has no config\.json/],
    [
      "an adapter's config alone",
      [...CHECKPOINT, 'model.safetensors', 'adapter_config.json'],
      /no adapter_model\.safetensors or adapter_model\.bin/,
    ],
    [
      'several checkpoints of LAVIS',
      ['epoch_1.pth', 'epoch_2.pth', ...TOKENIZER],
      /several files that may be the weights: epoch_1\.pth, epoch_2\.pth\. Download one/,
    ],
  ])('%s is refused before anything is fetched', async (_what, names, message) => {
    await using fixture = await hubWith(names);
    await expect(fixture.pull()).rejects.toThrow(message);
    expect(fixture.hub.downloads).toEqual([]);
  });
});

describe('what another library has pulled', () => {
  it.each<[missing: string, names: string[]]>([
    ['tokenizer.json', ['adapter_config.json', 'adapter_model.safetensors', 'tokenizer.json']],
    ['lavis.json', ['pretrained.pth', 'tokenizer.json', 'lavis.json']],
    ['merges.txt', ['config.json', 'pytorch_model.bin', 'vocab.json', 'merges.txt']],
  ])('is completed where it lacks %s', async (missing, names) => {
    await using fixture = await hubWith(names);
    await mkdir(fixture.folder, { recursive: true });
    for (const name of names) {
      if (name !== missing) await writeFile(join(fixture.folder, name), name);
    }
    await mkdir(join(fixture.repository, 'refs'));
    await writeFile(join(fixture.repository, 'refs/main'), COMMIT);
    expect(await resolveCheckpoint(MODEL, fixture.options)).toBe(fixture.folder);
    expect(fixture.hub.downloads).toEqual([missing]);
    await fixture.expectWhole();
  });
});

describe('a target folder', () => {
  it.each([
    ['pytorch_model.bin', ['pretrained.pth', ...TOKENIZER]],
    ['other.pth', ['pretrained.pth', ...TOKENIZER]],
    ['adapter_model.bin', [...CHECKPOINT, 'model.safetensors']],
    ['pytorch_model.bin', ['adapter_config.json', 'adapter_model.safetensors']],
  ])('with %s of another model is refused', async (other, names) => {
    await using fixture = await hubWith(names);
    const out = join(fixture.cache, 'mine');
    await mkdir(out);
    await writeFile(join(out, other), '');
    await expect(fixture.pull({ out })).rejects.toThrow(
      `holds ${other}, which is of another model`,
    );
  });

  it('may hold PyTorch weights that are not read beside safetensors', async () => {
    await using fixture = await hubWith([...CHECKPOINT, 'model.safetensors']);
    const out = join(fixture.cache, 'mine');
    await mkdir(out);
    await writeFile(join(out, 'pytorch_model.bin'), '');
    expect(await fixture.pull({ out })).toBe(out);
  });
});
