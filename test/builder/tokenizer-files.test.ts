/** Tokens in all the files of a checkpoint: brought together in its bundle, or refused by name where files differ. */
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ensureBundle, readManifest, readTokenizer } from '@blip2/gpu-worker/builder/index';
import { createTokenizer } from '@blip2/shared/tokenizer';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';

const GOLDEN = fileURLToPath(new URL('../parity/golden', import.meta.url));

let root: string;
let bundles: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'blip2-tokens-'));
});
beforeEach(async () => {
  bundles = await mkdtemp(join(root, 'bundles-'));
});
afterAll(() => rm(root, { recursive: true, force: true }));

type Json = Record<string, unknown>;
type Tokenizer = Json & { added_tokens: Json[]; model: Json & { vocab: Record<string, number> } };
/** Changes a copy of the checkpoint. */
type Change = (folder: string) => Promise<void>;

const edit =
  (name: string, change: (file: Tokenizer) => void): Change =>
  async (folder) => {
    const path = join(folder, name);
    const file = JSON.parse(await readFile(path, 'utf8'));
    change(file);
    await writeFile(path, JSON.stringify(file));
  };
const file =
  (name: string, content: unknown): Change =>
  (folder) =>
    writeFile(join(folder, name), typeof content === 'string' ? content : JSON.stringify(content));
const config = (content: Json) => file('tokenizer_config.json', content);
const all =
  (...changes: Change[]): Change =>
  async (folder) => {
    for (const change of changes) await change(folder);
  };

const flags = {
  single_word: false,
  lstrip: false,
  rstrip: false,
  normalized: true,
  special: false,
};
const region = { content: '<region>', ...flags };
const add = (token: Json) => edit('tokenizer.json', (t) => void t.added_tokens.push(token));
/** OPT's vocabulary has 900 pieces, `<image>` is 900, and the model has 902 tokens. */
const addRegion = add({ id: 901, ...region });

async function changed(change: Change, golden = 'api-opt'): Promise<string> {
  const folder = await mkdtemp(join(root, 'checkpoint-'));
  await cp(join(GOLDEN, golden, 'checkpoint'), folder, { recursive: true });
  await change(folder);
  return folder;
}

async function tokenizerOf(change: Change, golden?: string) {
  const bundle = await ensureBundle(await changed(change, golden), { bundles });
  return createTokenizer(await readTokenizer(bundle, await readManifest(bundle)));
}

describe('an added token', () => {
  const decoder = (token: Json) => ({ added_tokens_decoder: { 901: token } });

  it.each<[string, Change]>([
    ['tokenizer.json', addRegion],
    ['added_tokens.json', file('added_tokens.json', { '<region>': 901 })],
    ['tokenizer_config.json', config(decoder(region))],
    ['both', all(addRegion, config(decoder(region)))],
    [
      'added_tokens.json, listed as special',
      all(
        file('added_tokens.json', { '<region>': 901 }),
        file('special_tokens_map.json', { additional_special_tokens: ['<region>'] }),
      ),
    ],
    ['no other file than the list', config({ extra_special_tokens: ['<image>', '<region>'] })],
  ])('of %s is a word of the bundle', async (_, change) => {
    const { encode, bytesOf } = await tokenizerOf(change);
    expect(encode('a <region>')).toEqual([68, 224, 901]);
    expect(new TextDecoder().decode(bytesOf(901))).toBe('<region>');
  });

  it('that controls the model is text in a text, however it is listed and flagged', async () => {
    const { encode, bytesOf } = await tokenizerOf(
      all(
        config({ additional_special_tokens: ['<image>'], eos_token: '</s>' }),
        edit('tokenizer.json', (t) => {
          // A flag that is missing does not make the end of a text a word.
          for (const token of t.added_tokens) token.special = false;
        }),
      ),
    );
    // In this checkpoint the end of a text is 3.
    for (const text of ['</s>', '<image>', '<unk>', '<pad>']) {
      expect(encode(text).filter((id) => id < 4 || id === 900)).toEqual([]);
    }
    for (const id of [2, 3, 900]) expect(bytesOf(id)).toHaveLength(0);
  });

  it.each<[string, Change, RegExp]>([
    [
      'beyond the vocabulary of the model',
      all(addRegion, add({ id: 902, ...region, content: 'zebra' })),
      /"zebra" has the id 902, and the model has 902 tokens/,
    ],
    [
      'with an id that tokenizers would not give it',
      add({ id: 905, ...region }),
      /"<region>" is 905 in tokenizer\.json, and would be read as 901/,
    ],
    [
      'that is there twice',
      all(addRegion, add({ id: 902, ...region, lstrip: true })),
      /"<region>" is in tokenizer\.json twice/,
    ],
    [
      'with another id in added_tokens.json',
      all(addRegion, file('added_tokens.json', { '<region>': 900 })),
      /"<region>" is 900 in added_tokens\.json, and 901 in tokenizer\.json/,
    ],
    [
      'with another id in tokenizer_config.json',
      all(addRegion, config({ added_tokens_decoder: { 7: region } })),
      /"<region>" is 7 in tokenizer_config\.json, and 901 in tokenizer\.json/,
    ],
    [
      'with another flag in tokenizer_config.json',
      all(addRegion, config(decoder({ ...region, lstrip: true }))),
      /"<region>" has lstrip true in tokenizer_config\.json, and false in tokenizer\.json/,
    ],
    [
      'that is special in tokenizer_config.json alone',
      all(addRegion, config(decoder({ ...region, special: true }))),
      /"<region>" has special true in tokenizer_config\.json, and false/,
    ],
    [
      'that one of two older files lacks',
      all(file('added_tokens.json', { x: 902 }), config(decoder(region))),
      /"x" is 902 in added_tokens\.json, and is missing in tokenizer_config\.json/,
    ],
  ])('%s is refused by name', async (_, change, message) => {
    await expect(ensureBundle(await changed(change), { bundles })).rejects.toThrow(message);
  });
});

describe('a setting of the tokenizer', () => {
  const processor = (post_processor: unknown) =>
    edit('tokenizer.json', (t) => void Object.assign(t, { post_processor }));
  const bos = { SpecialToken: { id: '<s>', type_id: 0 } };
  const text = { Sequence: { id: 'A', type_id: 0 } };
  const template = (...single: Json[]) =>
    processor({
      type: 'TemplateProcessing',
      single,
      pair: [],
      special_tokens: { '<s>': { id: '<s>', ids: [0], tokens: ['<s>'] } },
    });

  it.each<[string, string, Change, RegExp]>([
    [
      'that is not supported',
      'api-opt',
      edit('tokenizer.json', (t) => void Object.assign(t.model, { byte_fallback: true })),
      /model\.byte_fallback = true/,
    ],
    [
      'of a word that is not supported',
      'api-opt',
      add({ id: 901, ...region, magic: 1 }),
      /added_tokens\.\d+\.magic = 1/,
    ],
    [
      'that puts another control token in front of a text',
      'api-opt',
      template(bos, text),
      /post_processor puts \[0\] in front of a text and \[\] behind it, and config\.json asks for \[2\] and \[\]/,
    ],
    [
      'that puts none there',
      'api-opt',
      processor({ type: 'ByteLevel', trim_offsets: false }),
      /post_processor puts \[\] in front/,
    ],
    ['of an unknown post-processor', 'api-opt', processor({ type: 'Magic' }), /Magic/],
    [
      'that puts another control token in front of a text of BERT',
      'match',
      processor({ type: 'BertProcessing', sep: ['[SEP]', 2], cls: ['[PAD]', 0] }),
      /puts \[0\] in front of a text and \[2\] behind it, and config\.json asks for \[1\] and \[2\]/,
    ],
    [
      'that forbids the control token in front',
      'api-opt',
      config({ add_bos_token: false }),
      /add_bos_token is false, and config\.json asks for \[2\]/,
    ],
    [
      'that wants one behind',
      'api-opt',
      config({ add_eos_token: true }),
      /add_eos_token is true, and config\.json asks for \[\]/,
    ],
    [
      'that differs in two files',
      'api-opt',
      config({ add_prefix_space: true }),
      /add_prefix_space is true, and false in tokenizer\.json/,
    ],
    [
      'that nobody knows',
      'api-opt',
      config({ stemmer: 'porter' }),
      /does not know stemmer = "porter".*BLIP2_IGNORE_CONFIG=tokenizer_config\.stemmer/,
    ],
    ['that is of another kind', 'api-opt', config({ add_bos_token: 1 }), /add_bos_token/],
    [
      'that forces a clean-up which breaks texts of byte-level BPE',
      'api-opt',
      config({ clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output: true }),
      /does not know clean_up_tokenization_spaces_for_bpe/,
    ],
    [
      'that gives a role to another token than a second file',
      'api-opt',
      all(
        config({ eos_token: '</s>' }),
        file('special_tokens_map.json', { eos_token: { content: '<pad>', lstrip: false } }),
      ),
      /tokenizer_config\.json says eos_token is "<\/s>", and special_tokens_map\.json says "<pad>": remove one/,
    ],
  ])('%s is refused by name', async (_, golden, change, message) => {
    await expect(ensureBundle(await changed(change, golden), { bundles })).rejects.toThrow(message);
  });

  it.each<[string, Json, Json]>([
    ['do_lower_case', { do_lower_case: false }, { lowercase: true }],
    ['strip_accents', { strip_accents: true }, { strip_accents: null }],
    ['tokenize_chinese_chars', { tokenize_chinese_chars: true }, { handle_chinese_chars: false }],
    ['do_lower_case', { tokenizer_class: 'BertTokenizer' }, { lowercase: false }],
  ])('%s of BERT that differs in two files is refused by name', async (name, own, other) => {
    const normalizer = { type: 'BertNormalizer', ...other };
    const change = all(
      config(own),
      edit('tokenizer.json', (t) => void Object.assign(t, { normalizer })),
    );
    await expect(ensureBundle(await changed(change, 'match'), { bundles })).rejects.toThrow(name);
  });

  it('that changes no token stops nothing', async () => {
    const change = all(
      config({
        model_max_length: 20,
        add_prefix_space: false,
        add_bos_token: true,
        clean_up_tokenization_spaces: true,
        auto_map: {},
        stemmer: null,
      }),
      edit('tokenizer.json', (t) =>
        Object.assign(t, {
          truncation: { direction: 'Right', max_length: 1, strategy: 'LongestFirst', stride: 0 },
          padding: { strategy: { Fixed: 8 }, direction: 'Right', pad_id: 1 },
        }),
      ),
    );
    expect((await tokenizerOf(change)).encode('a dog')).toEqual([68, ...(await dog())]);
  });

  /** As transformers 5.18 was seen to leave the ids of each kind alone. */
  it.each<[string, Json]>([
    ['api-t5', { tokenizer_class: 'T5TokenizerFast', legacy: false, add_prefix_space: false }],
    ['api-t5', { extra_ids: 50, sp_model_kwargs: {}, do_lower_case: true, add_eos_token: true }],
    [
      'api-opt',
      { add_bos_token: true, errors: 'ignore', trim_offsets: false, do_lower_case: true },
    ],
    ['match', { tokenizer_class: 'BertTokenizer', do_lower_case: true, legacy: false }],
  ])('that is said of %s changes no token: %j', async (golden, own) => {
    const common = { padding_side: 'left', truncation_side: 'left', model_max_length: 4 };
    const change = config({
      ...common,
      ...own,
      chat_template: '{{ messages }}',
      padding: 'longest',
    });
    const [made, plain] = [
      await tokenizerOf(change, golden),
      await tokenizerOf(async () => {}, golden),
    ];
    for (const text of ["a red dog, isn't it", 'w5  w9 Zebra', ' leading', 'ñandú Étude']) {
      expect(made.encode(text)).toEqual(plain.encode(text));
    }
  });

  const dog = async () => (await tokenizerOf(async () => {})).encode(' dog');

  it('that nobody knows is accepted once somebody says that it changes nothing', async () => {
    const folder = await changed(config({ stemmer: 'porter' }));
    const ignoredKeys = ['tokenizer_config.stemmer'];
    await expect(ensureBundle(folder, { bundles, ignoredKeys })).resolves.toMatch(/checkpoint-/);
  });
});

describe('a checkpoint with the files of older versions only', () => {
  /** In place of tokenizer.json. */
  const older: Change = async (folder) => {
    const path = join(folder, 'tokenizer.json');
    const { model } = JSON.parse(await readFile(path, 'utf8'));
    await rm(path);
    await writeFile(join(folder, 'vocab.json'), JSON.stringify(model.vocab));
    await writeMerges(folder, model.merges);
  };
  const writeMerges = (folder: string, merges: string[][]) =>
    writeFile(
      join(folder, 'merges.txt'),
      ['#version: 0.2', ...merges.map((pair) => pair.join(' ')), ''].join('\n'),
    );

  it('has the same tokens in a bundle, which is built once and anew for other merges', async () => {
    const folder = await changed(older);
    const bundle = await ensureBundle(folder, { bundles });
    const manifest = await readManifest(bundle);
    expect(manifest.files.map(({ path }) => path)).toContain('tokenizer.json');
    const made = createTokenizer(await readTokenizer(bundle, manifest));
    const own = await tokenizerOf(async () => {});
    for (const text of ['a red dog', ' in the rain', 'ñ']) {
      expect(made.encode(text)).toEqual(own.encode(text));
    }
    const onProgress = () => expect.unreachable('the bundle is there');
    expect(await ensureBundle(folder, { bundles, onProgress })).toBe(bundle);

    await writeMerges(folder, []);
    await ensureBundle(folder, { bundles });
    const other = createTokenizer(await readTokenizer(bundle, await readManifest(bundle)));
    expect(other.encode('dog')).toHaveLength(3);
  });

  it('has them in the bundle of a retrieval model too', async () => {
    const own = await tokenizerOf(async () => {}, 'match');
    const made = await tokenizerOf(async (folder) => {
      const path = join(folder, 'tokenizer.json');
      const { vocab } = JSON.parse(await readFile(path, 'utf8')).model;
      await rm(path);
      const pieces = Object.keys(vocab).toSorted((a, b) => vocab[a] - vocab[b]);
      await writeFile(join(folder, 'vocab.txt'), `${pieces.join('\n')}\n`);
    }, 'match');
    expect(own.encode('w5 w9')).toEqual(made.encode('w5 w9'));
  });

  it.each([
    ['vocab.txt', 'match'],
    ['spiece.model', 'api-t5'],
  ])('has %s in the bundle, which is built again when that changes', async (name, golden) => {
    const folder = await changed(file(name, 'a'), golden);
    const listed = async () => {
      const { files } = await readManifest(await ensureBundle(folder, { bundles }));
      return files.find(({ path }) => path === name);
    };
    const before = await listed();
    expect(before?.bytes).toBe(1);
    await file(name, 'b')(folder);
    expect((await listed())?.sha256).not.toBe(before?.sha256);
  });

  it.each<[string, Change, RegExp]>([
    [
      'without one of them',
      (folder) => rm(join(folder, 'merges.txt')),
      /lacks tokenizer\.json; it could be made of vocab\.json and merges\.txt, but there is no merges\.txt either/,
    ],
    [
      'of another class',
      config({ tokenizer_class: 'CodeGenTokenizer' }),
      /tokenizer_class CodeGenTokenizer is not supported/,
    ],
    ['with a damaged vocabulary', file('vocab.json', ['a']), /vocab\.json is no vocabulary/],
    [
      'with a damaged list of merges',
      file('merges.txt', 'a b c\n'),
      /merges\.txt: "a b c" is no merge/,
    ],
  ])('%s is refused by name', async (_, change, message) => {
    const folder = await changed(all(older, change));
    await expect(ensureBundle(folder, { bundles })).rejects.toThrow(message);
  });
});
