/** Checkpoints of which one file was changed, through the model builder: weights, tokenizers, configs, adapters. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { byteEdit } from '../generate/byte-edits.ts';
import { hostileJson } from '../generate/hostile.ts';
import { jsonEdit } from '../generate/json-edits.ts';
import type { CheckpointInput } from '../subjects/checkpoint.ts';
import { BASES, type BaseName, writeBase } from '../subjects/checkpoint-bases.ts';
import type { Target } from '../target.ts';
import { ThreadHost } from '../thread-host.ts';

const TOKENIZER = /tokenizer|vocab|merges|spiece|special_tokens|added_tokens/;
const WEIGHTS = /\.(?:safetensors|bin|pth)$/;

/** Values that configs have, beside hostile ones. */
const value = fc.oneof(
  hostileJson,
  fc.constantFrom(
    '"gelu"',
    '"opt"',
    '"t5"',
    '"float16"',
    '"BF16"',
    '"F64"',
    '[0,8]',
    '[2,2]',
    '3',
    '16',
    '0.1',
  ),
);

/** @param isChanged which files of the bases it changes */
function checkpoints(
  name: string,
  about: string,
  share: number,
  isChanged: (file: string) => boolean,
): Target<CheckpointInput> {
  return {
    name,
    about,
    share,
    lanes: 1,
    open: async () => {
      const host = new ThreadHost('checkpoint');
      const places = await filesOf(isChanged);
      const ofJson = fc.record({
        json: fc.array(jsonEdit(value), { minLength: 1, maxLength: 3 }),
        bytes: fc.constant([]),
      });
      const ofBytes = fc.record({
        json: fc.constant([]),
        bytes: fc.array(byteEdit(400), { minLength: 1, maxLength: 4 }),
      });
      const inputs = fc.constantFrom(...places).chain(({ base, file }) => {
        const hasJson = /\.(?:json|safetensors)$/.test(file);
        const edits = hasJson ? fc.oneof({ weight: 3, arbitrary: ofJson }, ofBytes) : ofBytes;
        return edits.map((edit) => ({ base, file, ...edit }));
      });
      return {
        inputs,
        run: (input) => host.run(input),
        [Symbol.asyncDispose]: () => host[Symbol.asyncDispose](),
      };
    },
  };
}

async function filesOf(isChanged: (file: string) => boolean) {
  const root = await mkdtemp(join(tmpdir(), 'blip2-fuzz-bases-'));
  try {
    const places: { base: BaseName; file: string }[] = [];
    for (const base of Object.keys(BASES) as BaseName[]) {
      const files = await writeBase(base, join(root, base));
      for (const file of files) if (isChanged(file)) places.push({ base, file });
    }
    return places;
  } finally {
    await rm(root, { recursive: true, force: true });
  }
}

export const CHECKPOINTS = [
  checkpoints('configs', 'configs of models, processors, generation and adapters', 3, (file) => {
    return !TOKENIZER.test(file) && !WEIGHTS.test(file);
  }),
  checkpoints(
    'tokenizers',
    'tokenizer.json, SentencePiece, vocabularies, added tokens',
    3,
    (file) => TOKENIZER.test(file),
  ),
  checkpoints('weights', 'safetensors, files of torch and LAVIS, adapters', 3, (file) =>
    WEIGHTS.test(file),
  ),
];
