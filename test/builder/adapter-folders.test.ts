/** Where an adapter, its base and their tokenizers lie: what belongs together is found, and what is unclear is refused by name. */
import { cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ensureBundle, readManifest, readTokenizer } from '@blip2/gpu-worker/builder/index';
import { createTokenizer } from '@blip2/shared/tokenizer';
import { beforeEach, describe, expect, it } from 'vitest';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { writeSafetensors } from '../support/write-safetensors.ts';

const GOLDEN = fileURLToPath(new URL('../parity/golden/', import.meta.url));
/** Adapters of `golden/make/adapters.py` for the case `half`, and checkpoints with a tokenizer for texts. */
const [LORA, HALF, API_OPT, T5] = [
  'adapters/lora',
  'half/checkpoint',
  'api-opt/checkpoint',
  't5/checkpoint',
].map((path) => join(GOLDEN, path)) as [string, string, string, string];

const root = temporaryFolder('test');
const bundles = join(root, 'bundles');
const base = join(root, 'base');
const adapter = join(root, 'adapter');
beforeEach(async () => {
  await cp(HALF, base, { recursive: true });
  await cp(LORA, adapter, { recursive: true });
  await edit(adapter, 'adapter_config.json', { base_model_name_or_path: '../base' });
});

/** Sets members of a JSON file. */
async function edit(folder: string, file: string, members: Record<string, unknown>) {
  const path = join(folder, file);
  const json = JSON.parse(await readFile(path, 'utf8').catch(() => '{}'));
  await writeFile(path, JSON.stringify({ ...json, ...members }));
}

const build = (folder: string) => ensureBundle(folder, { bundles });
const refusal = (folder: string) => expect(build(folder)).rejects;

async function becomes(folder: string, name: string): Promise<void> {
  expect(basename(await build(folder))).toMatch(
    new RegExp(`^${name.replace('+', '\\+')}-[0-9a-f]+$`),
  );
}

describe('adapters in folders of their own', () => {
  const inside = (...names: string[]) => {
    const copies = names.map((name) => cp(adapter, join(base, name), { recursive: true }));
    return Promise.all(copies);
  };

  it.each([[['birds']], [['birds', 'cats']]])(
    'beside a base are refused by name: %j',
    async (names) => {
      await inside(...names);
      await refusal(base).toThrow(
        `${base} holds weights and adapters: ${names.join(', ')}. Only one can be merged: give the folder`,
      );
    },
  );

  it('are merged where one of them is given', async () => {
    await inside('birds', 'cats');
    await edit(join(base, 'birds'), 'adapter_config.json', { base_model_name_or_path: '..' });
    await becomes(join(base, 'birds'), 'birds+lora');
  });

  it('beside another adapter are refused by name, unless a trainer left them on its way', async () => {
    await cp(LORA, join(adapter, 'checkpoint-500'), { recursive: true });
    await becomes(adapter, 'adapter+lora');
    await cp(LORA, join(adapter, 'cats'), { recursive: true });
    await refusal(adapter).toThrow(`${adapter} holds more than one adapter: cats.`);
  });

  it('and nothing else are named', async () => {
    await mkdir(join(root, 'several'));
    for (const name of ['birds', 'cats']) {
      await cp(adapter, join(root, 'several', name), { recursive: true });
    }
    await refusal(join(root, 'several')).toThrow(
      /has only adapters in folders of their own \(birds, cats\): give one of those folders/,
    );
  });
});

describe("an adapter's file", () => {
  it.each([
    'adapter_model.safetensors',
    'adapter_model.bin',
    'adapter2.safetensors',
    'pytorch_lora_weights.safetensors',
    'birds-lora-v2.pt',
  ])('%s beside a base and without its config is refused', async (file) => {
    await cp(join(LORA, 'adapter_model.safetensors'), join(base, file));
    await refusal(base).toThrow(
      `has an adapter (${file}) without adapter_config.json: add that file`,
    );
  });

  it('of another name beside an adapter is refused', async () => {
    await writeFile(join(adapter, 'adapter_model.old.safetensors'), '');
    await refusal(adapter).toThrow(/more than one adapter: adapter_model\.old\.safetensors/);
  });

  it('given in place of its folder is refused by name', async () => {
    const path = join(adapter, 'adapter_model.safetensors');
    await refusal(path).toThrow(`${path} is an adapter: give its folder, ${adapter}.`);
  });
});

describe('a base', () => {
  it('of a revision is asked for by it', async () => {
    await edit(adapter, 'adapter_config.json', {
      base_model_name_or_path: 'someone/blip2',
      revision: 'v2',
    });
    const asked: [id: string, isTokenizerNeeded: boolean][] = [];
    const resolveBase = async (id: string, isTokenizerNeeded: boolean) => {
      asked.push([id, isTokenizerNeeded]);
      return base;
    };
    await ensureBundle(adapter, { bundles, resolveBase });
    await cp(join(HALF, 'tokenizer.json'), join(adapter, 'tokenizer.json'));
    await ensureBundle(adapter, { bundles, resolveBase });
    expect(asked).toEqual([
      ['someone/blip2@v2', true],
      ['someone/blip2@v2', false],
    ]);
  });

  it("that was in another machine's cache of a hub is asked for by its name and commit", async () => {
    const commit = 'c0ffee'.padEnd(40, '0');
    const path = `/root/.cache/huggingface/hub/models--Salesforce--blip2-opt-2.7b/snapshots/${commit}`;
    await edit(adapter, 'adapter_config.json', { base_model_name_or_path: path });
    const asked: string[] = [];
    const resolveBase = async (id: string) => {
      asked.push(id);
      return base;
    };
    await ensureBundle(adapter, { bundles, resolveBase });
    expect(asked).toEqual([`Salesforce/blip2-opt-2.7b@${commit}`]);
  });

  it.each(['/home/someone/blip2', './out/blip2', 'C:\\models\\blip2'])(
    'that was somewhere else is asked for: %s',
    async (path) => {
      await edit(adapter, 'adapter_config.json', { base_model_name_or_path: path });
      await refusal(adapter).toThrow(
        `${adapter} needs its base "${path}", which is not here. Put its path into base_model_name_or_path of adapter_config.json, or the adapter's files into its folder.`,
      );
    },
  );

  it('of other sizes is said to be another', async () => {
    const module = 'language_model.model.decoder.layers.0.self_attn.q_proj';
    await writeSafetensors(join(adapter, 'adapter_model.safetensors'), {
      [`base_model.model.${module}.lora_A.weight`]: [4, 9],
      [`base_model.model.${module}.lora_B.weight`]: [9, 4],
    });
    await refusal(adapter).toThrow(
      /lora_B \[9,4\], rank and weight ask for \[64,4\]: it was made for a base of other sizes/,
    );
    await cp(join(LORA, 'adapter_model.safetensors'), join(adapter, 'adapter_model.safetensors'));
    await edit(adapter, 'adapter_config.json', { r: 8 });
    await refusal(adapter).toThrow(/its rank is not the 8 of adapter_config\.json/);
  });
});

describe('the tokenizer of an adapted model', () => {
  const region = {
    id: 901,
    content: '<region>',
    ...{ single_word: false, lstrip: false, rstrip: false, normalized: true, special: false },
  };
  /** An adapter of the case `api-opt`, which changes nothing. */
  beforeEach(async () => {
    await rm(base, { recursive: true });
    await cp(API_OPT, base, { recursive: true });
    const { text_config } = JSON.parse(await readFile(join(base, 'config.json'), 'utf8'));
    const { hidden_size } = text_config;
    const module = 'base_model.model.language_model.model.decoder.layers.0.self_attn.q_proj';
    await writeSafetensors(join(adapter, 'adapter_model.safetensors'), {
      [`${module}.lora_A.weight`]: [4, hidden_size],
      [`${module}.lora_B.weight`]: [hidden_size, 4],
    });
  });

  /** The base's with another word. */
  async function withRegion() {
    const json = JSON.parse(await readFile(join(API_OPT, 'tokenizer.json'), 'utf8'));
    json.added_tokens.push(region);
    return JSON.stringify(json);
  }

  async function encode(text: string): Promise<number[]> {
    const bundle = await build(adapter);
    return createTokenizer(await readTokenizer(bundle, await readManifest(bundle))).encode(text);
  }

  it("is the adapter's own where the base has none", async () => {
    await rm(join(base, 'tokenizer.json'));
    await writeFile(join(adapter, 'tokenizer.json'), await withRegion());
    expect(await encode('a <region>')).toEqual([68, 224, 901]);
  });

  it("is the adapter's own as a whole: what else the base says of tokens is of another", async () => {
    await writeFile(join(base, 'added_tokens.json'), '{"<region>": 900, "<else>": 901}');
    await writeFile(join(base, 'special_tokens_map.json'), '{"eos_token": "<pad>"}');
    await writeFile(join(adapter, 'tokenizer.json'), await withRegion());
    await writeFile(join(adapter, 'tokenizer_config.json'), '{"eos_token": "</s>"}');
    expect(await encode('a <region>')).toEqual([68, 224, 901]);
    expect(await encode('<else>')).not.toContain(901);
  });

  it("is the base's with the words that the adapter adds to it", async () => {
    await writeFile(join(adapter, 'added_tokens.json'), '{"<region>": 901}');
    expect(await encode('a <region>')).toEqual([68, 224, 901]);
  });

  it('that nobody has is missed in their folders, not in one that is made of them', async () => {
    await rm(join(base, 'tokenizer.json'));
    await refusal(adapter).toThrow(`${adapter} with ${base} lacks tokenizer.json`);
  });

  it('that is damaged is named by its own path', async () => {
    await writeFile(join(adapter, 'generation_config.json'), '{"top_h": 2}');
    await refusal(adapter).toThrow(`${adapter}/generation_config.json: the builder does not know`);
  });
});

describe('a config beside an adapter', () => {
  it('may say how many tokens there are once some were added', async () => {
    await cp(join(GOLDEN, 'adapters/more-tokens'), adapter, { recursive: true });
    await edit(adapter, 'adapter_config.json', { base_model_name_or_path: '../base' });
    const config = JSON.parse(await readFile(join(base, 'config.json'), 'utf8'));
    const withVocabulary = (vocab_size: number) =>
      edit(adapter, 'config.json', {
        ...config,
        text_config: { ...config.text_config, vocab_size },
      });
    await withVocabulary(103);
    await becomes(adapter, 'adapter+lora');
    await withVocabulary(104);
    await refusal(adapter).toThrow(/not that of the base in .*text_config\.vocab_size is 104/);
  });
});

describe('an adapter of what cannot be changed alone is refused by name', () => {
  const as =
    (names: Record<string, readonly number[]>, config: Record<string, unknown>) => async () => {
      await writeSafetensors(join(adapter, 'adapter_model.safetensors'), names);
      await edit(adapter, 'adapter_config.json', config);
    };
  const stacks = ['encoder', 'decoder'].map(
    (stack) => `base_model.model.language_model.${stack}.embed_tokens.weight`,
  );

  it("T5's embedding", async () => {
    const { text_config } = JSON.parse(await readFile(join(T5, 'config.json'), 'utf8'));
    const shape = [text_config.vocab_size, text_config.d_model];
    await as(Object.fromEntries(stacks.map((name) => [name, shape])), {
      base_model_name_or_path: T5,
      modules_to_save: ['embed_tokens'],
    })();
    await refusal(adapter).toThrow(
      /encoder\.embed_tokens" is changed: adapters of T5's embedding are not supported/,
    );
  });

  it("OPT's positions", async () => {
    const { text_config } = JSON.parse(await readFile(join(base, 'config.json'), 'utf8'));
    const module = 'base_model.model.language_model.model.decoder.embed_positions';
    await as(
      {
        [`${module}.lora_embedding_A`]: [4, text_config.max_position_embeddings + 2],
        [`${module}.lora_embedding_B`]: [text_config.hidden_size, 4],
      },
      { target_modules: ['embed_positions'] },
    )();
    await refusal(adapter).toThrow(/embed_positions" is changed: adapters of OPT's positions/);
  });
});
