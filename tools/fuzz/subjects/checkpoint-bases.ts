/** Small checkpoints of every kind that the builder reads, as folders to change files of: those of the parity tests. */
import { readFileSync } from 'node:fs';
import { cp, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { makeFolder } from '@blip2/gpu-worker/make-folder';
import { ROOT } from '../../prepare-edge.ts';

/** What is made of a folder: a whole bundle, its `tokenizer.json`, or the tensors of its one file of torch. */
export type Goal = 'bundle' | 'tokenizer' | 'tensors';

type Base = {
  goal: Goal;
  /** Files and folders of the parity tests, each with the name that it gets; without one, its content comes in. */
  from?: readonly (readonly [path: string, name?: string])[];
  /** Further JSON files. */
  json?: Readonly<Record<string, unknown>>;
  /** Number of a case of the slow tokenizers. */
  slow?: number;
};

const GOLDEN = join(ROOT, 'test/parity/golden');

const processor = {
  image_processor_type: 'BlipImageProcessor',
  do_resize: true,
  size: { height: 16, width: 16 },
  resample: 3,
  do_rescale: true,
  rescale_factor: 1 / 255,
  do_normalize: true,
  image_mean: [0.48145466, 0.4578275, 0.40821073],
  image_std: [0.26862954, 0.26130258, 0.27577711],
  do_convert_rgb: true,
};
const half = ['half/checkpoint'] as const;
const adapter = (name: string): Base => ({ goal: 'bundle', from: [half, [`adapters/${name}`]] });
const torch = (name: string): Base => ({
  goal: 'tensors',
  from: [[`torch/${name}.bin`, `${name}.bin`]],
});
const slow = (index: number): Base => ({ goal: 'tokenizer', slow: index });

/** By name; regressions are kept with these names. */
export const BASES = {
  opt: {
    goal: 'bundle',
    from: [half],
    json: {
      'preprocessor_config.json': processor,
      'special_tokens_map.json': { bos_token: '</s>', eos_token: '</s>', pad_token: '<pad>' },
      'tokenizer_config.json': { model_max_length: 64, clean_up_tokenization_spaces: false },
    },
  },
  t5: { goal: 'bundle', from: [['t5/checkpoint']] },
  match: { goal: 'bundle', from: [['match/checkpoint']] },
  instruct: { goal: 'bundle', from: [['instruct-t5/checkpoint']] },
  'api-opt': { goal: 'bundle', from: [['api-opt/checkpoint']] },
  lora: adapter('lora'),
  dora: adapter('dora'),
  ia3: adapter('ia3'),
  loha: adapter('loha'),
  'more-tokens': adapter('more-tokens'),
  lavis: {
    goal: 'bundle',
    from: [
      ['lavis/whole_opt.pth', 'whole_opt.pth'],
      ['half/checkpoint/tokenizer.json', 'tokenizer.json'],
    ],
    json: { 'lavis.json': { vision_heads: 2, qformer_heads: 2, text_heads: 2, eos_token_id: 3 } },
  },
  'torch-state': torch('state'),
  'torch-zip64': torch('state-zip64'),
  'torch-legacy': torch('state-legacy'),
  'torch-module': torch('module-protocol-4'),
  'torch-integers': torch('integers'),
  'slow-bpe': slow(5),
  'slow-bpe-added': slow(3),
  'slow-unigram': slow(8),
  'slow-word-piece': slow(15),
} as const satisfies Record<string, Base>;
export type BaseName = keyof typeof BASES;

/** Writes the files of a base into a folder. @returns their paths in it */
export async function writeBase(name: BaseName, folder: string): Promise<string[]> {
  const { from = [], json = {}, slow: index }: Base = BASES[name];
  await makeFolder(folder);
  for (const [path, as = '.'] of from) {
    await cp(join(GOLDEN, path), join(folder, as), { recursive: true });
  }
  for (const [file, content] of Object.entries(json)) {
    await writeFile(join(folder, file), JSON.stringify(content));
  }
  if (index !== undefined) {
    for (const [file, text] of Object.entries(slowFiles(index))) {
      await writeFile(join(folder, file), text, file === 'spiece.model' ? 'base64' : 'utf8');
    }
  }
  return await filesIn(folder);
}

function slowFiles(index: number): Record<string, string> {
  const packed = readFileSync(join(GOLDEN, 'tokenizers/slow-tokenizers.json.gz'));
  const { cases } = JSON.parse(gunzipSync(packed).toString()) as {
    cases: { files: Record<string, string> }[];
  };
  return cases[index]?.files ?? {};
}

async function filesIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .sort();
}

/** The files of a base, by path, each as bytes. */
export async function readBase(
  folder: string,
  files: readonly string[],
): Promise<Map<string, Buffer>> {
  const contents = await Promise.all(files.map((file) => readFile(join(folder, file))));
  return new Map(files.map((file, i) => [file, contents[i] as Buffer]));
}
