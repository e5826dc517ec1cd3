/** The tokenizer of InstructBLIP's Q-Former is part of a checkpoint: read as strictly as the language model's, and never mistaken for it. */
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ensureBundle, readManifest } from '@blip2/gpu-worker/builder/index';
import { createTokenizer } from '@blip2/shared/tokenizer';
import { beforeEach, describe, expect, it } from 'vitest';
import { readInstructGolden } from '../../tools/eval/goldens.ts';
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

  it('gives an adapter alone the tokenizer of its Q-Former', async () => {
    const adapter = join(folder, '..', 'adapter');
    await mkdir(adapter);
    const lora = new URL('../parity/golden/adapters/lora/adapter_config.json', import.meta.url);
    const config = JSON.parse(await readFile(lora, 'utf8'));
    const own = { base_model_name_or_path: folder, target_modules: ['query'], r: 1, lora_alpha: 1 };
    await writeFile(join(adapter, 'adapter_config.json'), JSON.stringify({ ...config, ...own }));
    const layer = 'base_model.model.qformer.encoder.layer.1.attention.attention.query';
    const rows = { [`${layer}.lora_A.weight`]: [1, 28], [`${layer}.lora_B.weight`]: [28, 1] };
    await writeFile(join(adapter, 'adapter_model.safetensors'), ones(rows));
    const bundles = join(root, 'bundles');
    const bundle = await ensureBundle(adapter, { bundles });
    const [merged, base] = [await readManifest(bundle), await readManifest(await build())];
    const changed = merged.files.filter(
      ({ path, sha256 }) => base.files.find((file) => file.path === path)?.sha256 !== sha256,
    );
    expect(changed.map(({ path }) => path)).toEqual(['qformer.bin']);
  });

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
    [
      'is a pointer of git-LFS',
      () =>
        writeFile(
          join(folder, INNER, 'tokenizer.json'),
          'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n',
        ),
      /qformer_tokenizer\/tokenizer\.json is a pointer of git-LFS/,
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

/** A file of float32 tensors of ones. */
function ones(shapes: Record<string, number[]>): Buffer {
  let end = 0;
  const entries = Object.entries(shapes).map(([name, shape]) => {
    const start = end;
    end += 4 * shape.reduce((product, dim) => product * dim, 1);
    return [name, { dtype: 'F32', shape, data_offsets: [start, end] }];
  });
  const header = Buffer.from(JSON.stringify(Object.fromEntries(entries)));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  return Buffer.concat([length, header, Buffer.from(new Float32Array(end / 4).fill(1).buffer)]);
}
