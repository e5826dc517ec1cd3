/** Which files of a repository a bundle needs. */
import { QFORMER_TOKENIZER_FILES } from '../qformer-tokenizer-files.ts';
import type { HubFile } from './client.ts';
import { HubError } from './errors.ts';
import type { ModelId } from './model-id.ts';
import {
  hasTokenizer,
  hasTokenizerOfBase,
  isAdapterAlone,
  shardNames,
  type Weights,
  weightsIn,
} from './weight-names.ts';

/** All are plain names: no file of a hub gets out of its folder. */
const SIDECARS = [
  /^config[\w.-]*\.json$/,
  /^(generation|preprocessor|processor|tokenizer|adapter)_config\.json$/,
  /^(tokenizer|vocab|special_tokens_map|added_tokens|lavis)\.json$/,
  /^outside_training\.json$/,
  /^(merges|vocab)\.txt$/,
  /^spiece\.model$/,
  /^README\.md$/,
  /^LICEN[CS]E[\w.-]*$/i,
];
const SHARD = /^[\w.-]+\.(safetensors|bin)$/;
const OTHER_WEIGHTS = /\.(safetensors|bin|pt|pth|ckpt|h5|msgpack|gguf|onnx)$/;

/**
 * Everything but shards: those are known once the index has been read. Of weights in several formats one is chosen, and
 * safetensors before others.
 * @param isTokenizerNeeded whether one must be there
 * @throws HubError when the repository is no checkpoint, or lacks what no bundle can do without
 */
export function selectFiles(
  files: readonly HubFile[],
  model: ModelId,
  isTokenizerNeeded: boolean,
): HubFile[] {
  const names = files.map(({ path }) => path);
  const weights = weightsIn(names);
  const fail = (why: string) => new HubError(`${model.id} at ${model.revision} ${why}`);
  expectWeights(weights, names, model, fail);
  if (!isAdapterAlone(weights) && !weights.isOther && !names.includes('config.json')) {
    throw fail("has no config.json: it is no checkpoint in Hugging Face's format.");
  }
  if (isTokenizerNeeded && !hasTokenizer(names) && !hasTokenizerOfBase(weights, names)) {
    throw fail(
      'has no tokenizer: neither tokenizer.json nor vocab.json with merges.txt, spiece.model or vocab.txt. ' +
        'Pull it with --out FOLDER from a revision that has one, or add that of its base to a copy.',
    );
  }
  return files.filter(
    ({ path }) =>
      path === weights.own ||
      weights.beside.includes(path) ||
      QFORMER_TOKENIZER_FILES.includes(path) ||
      SIDECARS.some((pattern) => pattern.test(path)),
  );
}

/**
 * The shards that an index names.
 * @throws HubError when the index is none, or names a file that the commit lacks
 */
export function selectShards(
  index: string,
  indexText: string,
  files: readonly HubFile[],
): HubFile[] {
  const names = shardNames(indexText);
  if (names === null) throw new HubError(`${index} is not a JSON index of shards.`);
  return names.map((name) => {
    const shard = SHARD.test(name) ? files.find(({ path }) => path === name) : undefined;
    if (shard === undefined) throw new HubError(`${index} names ${name}, which is not there.`);
    return shard;
  });
}

/** What to do with weights that are almost those of a checkpoint. */
const HINTS: readonly (readonly [RegExp, string])[] = [
  [
    /-\d+-of-\d+\.(safetensors|bin)$/,
    ' The index of the shards, model.safetensors.index.json, is missing: ask its owner to add it.',
  ],
  [
    /^(model|pytorch_model)\.[\w-]+\.(safetensors|bin)$/,
    ' That is a variant: download the repository (hf download), rename that file to model.safetensors or pytorch_model.bin, and give the folder.',
  ],
  [/^adapter_model\./, ' That is an adapter, and adapter_config.json is missing.'],
];

function expectWeights(
  weights: Weights,
  names: readonly string[],
  { id, endpoint }: ModelId,
  fail: (why: string) => HubError,
): void {
  const { own, beside, candidates } = weights;
  if (candidates.length > 0) {
    throw fail(
      `has several files that may be the weights: ${candidates.join(', ')}. Download one of them and give its path.`,
    );
  }
  if (names.includes('adapter_config.json') && !beside.some((name) => /^adapter_/.test(name))) {
    throw fail('has adapter_config.json but no adapter_model.safetensors or adapter_model.bin.');
  }
  const stray = names.find((name) => /^adapter_model\.(safetensors|bin)$/.test(name));
  if (own !== undefined && stray !== undefined && !names.includes('adapter_config.json')) {
    throw fail(
      `has ${stray} beside its weights and no adapter_config.json, which says how to merge it: ask its owner to add that file, or download the weights without the adapter.`,
    );
  }
  if (own !== undefined || isAdapterAlone(weights)) return;
  const others = names.filter((name) => OTHER_WEIGHTS.test(name));
  if (!names.includes('config.json') && others.length === 0) {
    throw fail("has no config.json: it is no checkpoint in Hugging Face's format.");
  }
  if (others.length === 0) throw fail('has no weights.');
  const more = others.length > 1 ? ` and ${others.length - 1} more` : '';
  const hint = HINTS.find(([pattern]) => others.some((name) => pattern.test(name)))?.[1] ?? '';
  throw fail(
    `has no weights that can be read, neither model.safetensors nor pytorch_model.bin, only ${others[0]}${more}.${hint} ` +
      `See ${endpoint}/${id}/discussions for a conversion and pull it with --revision refs/pr/N, or convert it with ` +
      'transformers (model.save_pretrained(folder, safe_serialization=True)) and give that folder.',
  );
}
