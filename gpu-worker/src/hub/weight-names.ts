/** Which names of files are weights that the model builder reads, in the order in which it prefers them. */

import * as z from 'zod/mini';
import { QFORMER_TOKENIZER_FILES } from '../qformer-tokenizer-files.ts';

/** Names the shards of weights that stand in several files. */
export type ShardIndex = 'model.safetensors.index.json' | 'pytorch_model.bin.index.json';

/** What transformers saves; it loads the first that is there. */
const USUAL = [
  'model.safetensors',
  'model.safetensors.index.json',
  'pytorch_model.bin',
  'pytorch_model.bin.index.json',
] as const;
const ADAPTER_CONFIG = 'adapter_config.json';
/** In the order in which peft prefers them. */
const ADAPTERS = ['adapter_model.safetensors', 'adapter_model.bin'] as const;
/** Frozen parts that LAVIS loads from files of their own. */
const LAVIS_IMAGE_ENCODER = /^(eva_vit_g|clip_vit_L)\.pth$/;
const LAVIS_SETTINGS = 'lavis.json';
const TORCH_FILE = /^[\w.-]+\.(bin|pth|pt|ckpt)$/;
const SHARD = /-\d+-of-\d+\./;
/** What trainers leave beside weights. */
const NO_WEIGHTS =
  /^(adapter_model|training_args|optimizer|scheduler|scaler|trainer_state|rng_state\w*|random_states\w*)\.(bin|pth|pt|pkl)$/;

export type Weights = {
  /** The weights themselves, or the index of their shards; none where an adapter stands alone. */
  own?: string;
  /** Whether `own` is a file of LAVIS's or of another trainer: what it is derived from may lie elsewhere. */
  isOther: boolean;
  /** Of several files that may be meant, none is chosen. */
  candidates: string[];
  /** Files of an adapter, and of parts that are saved apart. */
  beside: string[];
};

/** @param names files of a repository or folder */
export function weightsIn(names: readonly string[]): Weights {
  const usual = USUAL.find((name) => names.includes(name));
  const others = usual === undefined ? names.filter(isOtherWeights) : [];
  const only = others.length === 1 ? others[0] : undefined;
  const own = usual ?? only;
  const adapter = names.includes(ADAPTER_CONFIG)
    ? ADAPTERS.find((name) => names.includes(name))
    : undefined;
  const encoders = only === undefined ? [] : names.filter((name) => LAVIS_IMAGE_ENCODER.test(name));
  return {
    ...(own === undefined ? {} : { own }),
    isOther: only !== undefined,
    candidates: others.length > 1 ? others : [],
    beside: [...(adapter === undefined ? [] : [adapter]), ...encoders],
  };
}

/** Whether a name is that of weights which are found by no usual name. */
function isOtherWeights(name: string): boolean {
  const isPart = NO_WEIGHTS.test(name) || LAVIS_IMAGE_ENCODER.test(name) || SHARD.test(name);
  return TORCH_FILE.test(name) && !isPart;
}

export function isShardIndex(name: string): name is ShardIndex {
  return name === USUAL[1] || name === USUAL[3];
}

export function isAdapterAlone({ own, beside }: Weights): boolean {
  return own === undefined && beside.length > 0;
}

/** Whether one of the sets of files is there of which a tokenizer is made. */
export function hasTokenizer(names: readonly string[]): boolean {
  const sets = [['tokenizer.json'], ['vocab.json', 'merges.txt'], ['spiece.model'], ['vocab.txt']];
  return sets.some((files) => files.every((file) => names.includes(file)));
}

/** Whether the tokenizer may come from another checkpoint, that of an adapter's base or of the one in `lavis.json`. */
export function hasTokenizerOfBase(weights: Weights, names: readonly string[]): boolean {
  return isAdapterAlone(weights) || (weights.isOther && names.includes(LAVIS_SETTINGS));
}

/** Either says how images are prepared. */
export const PROCESSORS = ['preprocessor_config.json', 'processor_config.json'] as const;

/** @param names files of a repository or folder */
export function hasQFormerTokenizer(names: readonly string[]): boolean {
  return ['tokenizer.json', 'vocab.txt'].some((file) =>
    names.includes(`qformer_tokenizer/${file}`),
  );
}

/**
 * Files that a checkpoint may do without, but of which it must be known whether its repository has them.
 * @param isInstructBlip whether its Q-Former reads text, as that of an adapter's base may
 */
export function maybeAbsent(weights: Weights, isInstructBlip: boolean): string[] {
  const { isOther } = weights;
  return [
    ...PROCESSORS,
    'generation_config.json',
    'tokenizer.json',
    'tokenizer_config.json',
    'special_tokens_map.json',
    'added_tokens.json',
    ...(isOther ? [LAVIS_SETTINGS] : []),
    ...(isInstructBlip || isAdapterAlone(weights) ? QFORMER_TOKENIZER_FILES : []),
  ];
}

/** Whether weights of that name would be taken for, or together with, those of the files. */
export function standsInTheWay(name: string, files: readonly string[]): boolean {
  if (/\.safetensors(\.index\.json)?$/.test(name) || name === ADAPTERS[1]) return true;
  const { own } = weightsIn(files);
  const isSafetensors = own === USUAL[0] || own === USUAL[1];
  return !isSafetensors && (name === USUAL[3] || isOtherWeights(name));
}

const Index = z.object({ weight_map: z.record(z.string(), z.string()) });

/** Names of the shards in the text of an index, sorted; null when it is none. */
export function shardNames(indexText: string): string[] | null {
  try {
    const { weight_map } = Index.parse(JSON.parse(indexText));
    return [...new Set(Object.values(weight_map))].sort();
  } catch {
    return null;
  }
}
