/** Of every kind of repository come the files that a bundle needs, or nothing where it could not be built of them. */
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
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
    [
      'a second tokenizer, for a Q-Former',
      [
        ...CHECKPOINT,
        'model.safetensors',
        'qformer_tokenizer/tokenizer.json',
        'qformer_tokenizer/tokenizer_config.json',
        'qformer_tokenizer/special_tokens_map.json',
        'qformer_tokenizer/added_tokens.json',
        'qformer_tokenizer/vocab.txt',
      ],
      ['qformer_tokenizer/training_args.bin', 'qformer_tokenizer/merges.txt', 'logs/vocab.txt'],
    ],
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
      'an adapter alone, with a tokenizer for a Q-Former',
      ['adapter_config.json', 'adapter_model.bin', 'qformer_tokenizer/tokenizer.json'],
      ['qformer_tokenizer/notes.txt'],
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

describe('a model whose config is objected to', () => {
  const files = [...CHECKPOINT, 'model.safetensors'];

  it('is refused with the reason before its weights are fetched', async () => {
    await using fixture = await hubWith(files, { 'config.json': '{"a": 1}' });
    const seen: unknown[] = [];
    const objection = (config: string, names: readonly string[]) => {
      seen.push(config, [...names].sort());
      return 'it has an a.';
    };
    await expect(fixture.pull({ objection })).rejects.toThrow('is refused: it has an a.');
    expect(seen).toEqual(['{"a": 1}', [...files].sort()]);
    expect(fixture.hub.downloads).toEqual(['config.json']);
  });

  it('is pulled whole where there is no objection', async () => {
    await using fixture = await hubWith(files);
    await fixture.pull({ objection: () => null });
    await fixture.expectWhole();
    expect(fixture.hub.downloads.toSorted()).toEqual([...files].sort());
  });
});

describe('the tokenizer of a Q-Former', () => {
  const config = '{"model_type": "instructblip"}';
  const NAMES = [...CHECKPOINT, 'model.safetensors', 'preprocessor_config.json'];
  const ADAPTER = ['adapter_config.json', 'adapter_model.safetensors'];
  const [VOCABULARY, TOKENS, MAP] = ['vocab.txt', 'tokenizer.json', 'special_tokens_map.json'].map(
    (name) => `qformer_tokenizer/${name}`,
  ) as [string, string, string];

  const OTHERS = [
    ...['preprocessor', 'processor', 'generation', 'tokenizer'].map((of) => `${of}_config.json`),
    ...['tokenizer.json', 'special_tokens_map.json', 'added_tokens.json'],
  ];

  /** A hub that has all files, and a cache into which another library has pulled some, and asked for all at the top. */
  async function partlyPulled(all: readonly string[], pulled: readonly string[]) {
    const fixture = await hubWith(all, { 'config.json': config });
    for (const name of pulled) {
      await mkdir(join(fixture.folder, dirname(name)), { recursive: true });
      await writeFile(join(fixture.folder, name), fixture.hub.files.get(name) ?? name);
    }
    const absent = join(fixture.repository, '.no_exist', COMMIT);
    await mkdir(absent, { recursive: true });
    for (const name of OTHERS) if (!all.includes(name)) await writeFile(join(absent, name), '');
    await mkdir(join(fixture.repository, 'refs'));
    await writeFile(join(fixture.repository, 'refs/main'), COMMIT);
    return fixture;
  }

  it.each<[what: string, missing: string, others: string[]]>([
    ['is wanting', VOCABULARY, NAMES],
    ['lacks a file that would be read', MAP, [...NAMES, TOKENS]],
    ['may be that of an adapter', TOKENS, ADAPTER],
  ])('is asked for once where it %s: %s', async (_what, missing, pulled) => {
    await using fixture = await partlyPulled([...pulled, missing], pulled);
    expect(await resolveCheckpoint(MODEL, fixture.options)).toBe(fixture.folder);
    expect(fixture.hub.downloads).toEqual([missing]);
    await fixture.expectWhole();
    fixture.hub.requests.length = 0;
    expect(await resolveCheckpoint(MODEL, fixture.options)).toBe(fixture.folder);
    expect(fixture.hub.requests).toEqual([]);
  });

  it('is named offline where it is wanting, and its other files are not needed', async () => {
    await using fixture = await partlyPulled(NAMES, NAMES);
    const offline = { ...fixture.options, offline: true };
    await expect(resolveCheckpoint(MODEL, offline)).rejects.toThrow(
      "its Q-Former's tokenizer (qformer_tokenizer/) missing in",
    );
    await mkdir(join(fixture.folder, 'qformer_tokenizer'));
    await writeFile(join(fixture.folder, VOCABULARY), '');
    expect(await resolveCheckpoint(MODEL, offline)).toBe(fixture.folder);
  });

  it('may be wanting in a base, of which the hub is asked once', async () => {
    await using fixture = await partlyPulled(NAMES, NAMES);
    const found = () => resolveCheckpoint(MODEL, fixture.options);
    expect(await found()).toBe(fixture.folder);
    fixture.hub.requests.length = 0;
    expect(await found()).toBe(fixture.folder);
    expect(fixture.hub.requests).toEqual([]);
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
