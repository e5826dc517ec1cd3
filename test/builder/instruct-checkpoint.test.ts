/** The tokenizer of InstructBLIP's Q-Former is part of a checkpoint: read as strictly as the language model's, and never mistaken for it. */
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ensureBundle, readManifest } from '@blip2/gpu-worker/builder/index';
import { createTokenizer } from '@blip2/shared/tokenizer';
import { beforeEach, describe, expect, it } from 'vitest';
import { readInstructGolden } from '../../tools/eval/goldens.ts';
import { writeQueryAdapter } from '../support/query-adapter.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const golden = readInstructGolden('instruct-t5');
const root = temporaryFolder();
const INNER = 'qformer_tokenizer';

let folder: string;
beforeEach(async () => {
  folder = join(await mkdtemp(join(root, 'case-')), 'checkpoint');
  await cp(golden.checkpoint, folder, { recursive: true });
});
const build = () => ensureBundle(folder, { bundles: join(root, 'bundles') });

const POINTER = 'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n';

type Json = Record<string, unknown>;

async function change(file: string, edit: (json: Json) => void): Promise<void> {
  const path = join(folder, file);
  const json: Json = JSON.parse(await readFile(path, 'utf8'));
  edit(json);
  await writeFile(path, JSON.stringify(json));
}

type Token = { id: number; content: string };

describe('a checkpoint of InstructBLIP', () => {
  it('is built anew when the tokenizer of its Q-Former changes', async () => {
    const bundle = await build();
    const sha256 = async () => {
      const { files } = await readManifest(await build());
      return files.find(({ path }) => path === `${INNER}/tokenizer.json`)?.sha256;
    };
    const before = await sha256();
    await change(`${INNER}/tokenizer.json`, ({ added_tokens }) => {
      (added_tokens as Token[]).at(-1)!.content = 'zebra crossings';
    });
    expect(await build()).toBe(bundle);
    expect(await sha256()).not.toBe(before);
  });

  it('may have the files of an older version of it', async () => {
    const path = join(folder, INNER, 'tokenizer.json');
    const { model } = JSON.parse(await readFile(path, 'utf8'));
    const ids = Object.entries(model.vocab as Record<string, number>);
    const pieces = ids.toSorted(([, a], [, b]) => a - b).map(([piece]) => piece);
    await rm(path);
    await writeFile(join(folder, INNER, 'vocab.txt'), `${pieces.join('\n')}\n`);
    const added = { '[DEC]': 1145, '<region>': 1146, 'zebra crossing': 1147 };
    await writeFile(join(folder, INNER, 'added_tokens.json'), JSON.stringify(added));
    const bundle = await build();
    const made = createTokenizer(await readFile(join(bundle, INNER, 'tokenizer.json'), 'utf8'));
    for (const { prompt, instruction_ids } of golden.replies) {
      if (prompt !== undefined) expect(made.encode(prompt)).toEqual(instruction_ids.slice(1, -1));
    }
  });

  describe('with an adapter alone', () => {
    let adapter: string;
    beforeEach(async () => {
      adapter = join(folder, '..', 'adapter');
      await writeQueryAdapter(adapter, folder);
    });
    const merge = () => ensureBundle(adapter, { bundles: join(root, 'bundles') });
    const innerOf = async (bundle: string) =>
      createTokenizer(await readFile(join(bundle, INNER, 'tokenizer.json'), 'utf8'));

    it('gives it the tokenizer of its Q-Former', async () => {
      const [merged, base] = [await readManifest(await merge()), await readManifest(await build())];
      const changed = merged.files.filter(
        ({ path, sha256 }) => base.files.find((file) => file.path === path)?.sha256 !== sha256,
      );
      expect(changed.map(({ path }) => path)).toEqual(['qformer.bin']);
    });

    it('takes the one that it brings as a whole, apart from that of the language model', async () => {
      await writeFile(join(folder, INNER, 'added_tokens.json'), '{"<region>": 1140}');
      await mkdir(join(adapter, INNER));
      const path = join(folder, INNER, 'tokenizer.json');
      const json = JSON.parse(await readFile(path, 'utf8'));
      json.added_tokens.at(-1).content = 'zebra crossings';
      await writeFile(join(adapter, INNER, 'tokenizer.json'), JSON.stringify(json));
      const bundle = await merge();
      expect((await innerOf(bundle)).encode('zebra crossings')).toEqual([1147]);
      const paths = (await readManifest(bundle)).files.map(({ path }) => path);
      expect(paths).toContain('tokenizer_config.json');
      expect(paths).not.toContain(`${INNER}/added_tokens.json`);
      expect(paths).not.toContain(`${INNER}/tokenizer_config.json`);
    });

    it('keeps its own where the adapter brings that of the language model', async () => {
      await cp(join(folder, 'tokenizer.json'), join(adapter, 'tokenizer.json'));
      const paths = (await readManifest(await merge())).files.map(({ path }) => path);
      expect(paths).toContain(`${INNER}/tokenizer_config.json`);
      expect(paths).not.toContain('tokenizer_config.json');
    });

    it('adds the words that it brings to its own', async () => {
      const path = join(folder, INNER, 'tokenizer.json');
      const json = JSON.parse(await readFile(path, 'utf8'));
      json.added_tokens.pop();
      await writeFile(path, JSON.stringify(json));
      await mkdir(join(adapter, INNER));
      await writeFile(join(adapter, INNER, 'added_tokens.json'), '{"<there>": 1147}');
      expect((await innerOf(await merge())).encode('<there>')).toEqual([1147]);
    });

    it('names what is wrong in it by its own path', async () => {
      await mkdir(join(adapter, INNER));
      await writeFile(join(adapter, INNER, 'added_tokens.json'), '{"<there>": "x"}');
      await expect(merge()).rejects.toThrow(join(adapter, INNER, 'added_tokens.json'));
    });
  });

  it.each(['dog.png', 'README.md', 'spiece.model'])(
    'may hold a pointer of git-LFS in place of %s, which is not read, beside that tokenizer',
    async (file) => {
      await writeFile(join(folder, INNER, file), POINTER);
      await build();
    },
  );

  it.each<[string, () => Promise<void>, RegExp]>([
    [
      'the tokenizer of its Q-Former',
      () => rm(join(folder, INNER), { recursive: true }),
      /lacks the folder qformer_tokenizer.*copy it/,
    ],
    [
      'what that is made of',
      () => rm(join(folder, INNER, 'tokenizer.json')),
      /qformer_tokenizer lacks tokenizer\.json; it could be made of vocab\.txt/,
    ],
  ])('is refused without %s', async (_name, spoil, message) => {
    await spoil();
    await expect(build()).rejects.toThrow(message);
  });

  it.each<[string, () => Promise<void>, RegExp]>([
    ...['tokenizer.json', 'tokenizer_config.json', 'special_tokens_map.json', 'vocab.txt'].map(
      (file): [string, () => Promise<void>, RegExp] => [
        `has a pointer of git-LFS in place of ${file}`,
        () => writeFile(join(folder, INNER, file), POINTER),
        new RegExp(`qformer_tokenizer/${file.replace('.', '\\.')} is a pointer of git-LFS`),
      ],
    ),
    [
      'gives a role to different tokens in two files',
      () => writeFile(join(folder, INNER, 'special_tokens_map.json'), '{"sep_token": "[MASK]"}'),
      /In qformer_tokenizer: tokenizer_config\.json says sep_token is "\[SEP\]", and/,
    ],
    [
      'is damaged',
      () => writeFile(join(folder, INNER, 'tokenizer.json'), '{"version": "1'),
      /qformer_tokenizer.*damaged/,
    ],
    [
      'is that of the language model',
      () => cp(join(folder, 'tokenizer.json'), join(folder, INNER, 'tokenizer.json')),
      /qformer_tokenizer.*is not a WordPiece tokenizer/,
    ],
    [
      'has a word that the Q-Former has no row for',
      () =>
        change(`${INNER}/tokenizer.json`, ({ added_tokens }) => {
          const tokens = added_tokens as Token[];
          tokens.push({ ...tokens.at(-1)!, id: 1148, content: '<loc>' });
        }),
      /In qformer_tokenizer: .*"<loc>" has the id 1148, and the model has 1148 tokens/,
    ],
    [
      'has no [SEP]',
      () =>
        change(`${INNER}/tokenizer.json`, (json) => {
          json.post_processor = null;
          json.added_tokens = (json.added_tokens as Token[]).filter(
            ({ content }) => content !== '[SEP]',
          );
          const model = json.model as { vocab: Record<string, number> };
          delete model.vocab['[SEP]'];
          model.vocab['[OTHER]'] = 3;
        }).then(() => change(`${INNER}/tokenizer_config.json`, (json) => delete json.sep_token)),
      /qformer_tokenizer\/tokenizer\.json lacks the token \[SEP\]/,
    ],
    [
      'lower-cases in one file only',
      () =>
        change(`${INNER}/tokenizer_config.json`, (json) => {
          json.do_lower_case = false;
        }),
      /In qformer_tokenizer: .*do_lower_case is false, and true in tokenizer\.json/,
    ],
    [
      'puts other tokens around a text',
      () =>
        change(`${INNER}/tokenizer.json`, (json) => {
          json.post_processor = null;
          json.post_processor = { type: 'BertProcessing', sep: ['[SEP]', 3], cls: ['[MASK]', 4] };
        }),
      /In qformer_tokenizer: .*post_processor puts \[4\]/,
    ],
  ])('is refused when that tokenizer %s', async (_name, spoil, message) => {
    await spoil();
    await expect(build()).rejects.toThrow(message);
  });
});
