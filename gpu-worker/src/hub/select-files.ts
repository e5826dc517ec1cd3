/** Which files of a repository a bundle needs. */
import * as z from 'zod/mini';
import type { HubFile } from './client.ts';
import { HubError } from './errors.ts';
import type { ModelId } from './model-id.ts';

const WEIGHTS = 'model.safetensors';
/** Names the shards of weights that stand in several files. */
export const SHARD_INDEX = 'model.safetensors.index.json';
/** All are plain names: no file of a hub gets out of its folder. */
const SIDECARS = [
  /^config[\w.-]*\.json$/,
  /^(generation|preprocessor|processor|tokenizer)_config\.json$/,
  /^(tokenizer|vocab|special_tokens_map|added_tokens)\.json$/,
  /^(merges|vocab)\.txt$/,
  /^spiece\.model$/,
  /^README\.md$/,
  /^LICEN[CS]E[\w.-]*$/i,
];
const SHARD = /^[\w.-]+\.safetensors$/;
const OTHER_WEIGHTS = /\.(bin|pt|pth|ckpt|h5|msgpack)$/;

const ShardIndex = z.object({ weight_map: z.record(z.string(), z.string()) });

/**
 * Everything but shards: those are known once the index has been read.
 * @throws HubError when the repository is no checkpoint, or has no safetensors
 */
export function selectFiles(files: readonly HubFile[], model: ModelId): HubFile[] {
  const has = (path: string) => files.some((file) => file.path === path);
  if (!has('config.json')) {
    throw new HubError(
      `${model.id} at ${model.revision} has no config.json: it is no checkpoint in Hugging Face's format.`,
    );
  }
  const weights = [WEIGHTS, SHARD_INDEX].find(has);
  if (weights === undefined) throw withoutSafetensors(files, model);
  return files.filter(
    ({ path }) => path === weights || SIDECARS.some((pattern) => pattern.test(path)),
  );
}

/**
 * The shards that an index names.
 * @throws HubError when the index is none, or names a file that the commit lacks
 */
export function selectShards(indexText: string, files: readonly HubFile[]): HubFile[] {
  const names = shardNames(indexText);
  if (names === null) throw new HubError(`${SHARD_INDEX} is not a JSON index of shards.`);
  return names.map((name) => {
    const shard = SHARD.test(name) ? files.find(({ path }) => path === name) : undefined;
    if (shard === undefined) {
      throw new HubError(`${SHARD_INDEX} names ${name}, which is not there.`);
    }
    return shard;
  });
}

/** Names of the shards in the text of an index, sorted; null when it is none. */
export function shardNames(indexText: string): string[] | null {
  try {
    const { weight_map } = ShardIndex.parse(JSON.parse(indexText));
    return [...new Set(Object.values(weight_map))].sort();
  } catch {
    return null;
  }
}

function withoutSafetensors(
  files: readonly HubFile[],
  { id, revision, endpoint }: ModelId,
): HubError {
  const others = files.map(({ path }) => path).filter((path) => OTHER_WEIGHTS.test(path));
  if (others.length === 0) return new HubError(`${id} at ${revision} has no weights.`);
  return new HubError(
    `${id} at ${revision} has no safetensors, only ${others[0]}${others.length > 1 ? ` and ${others.length - 1} more` : ''}. ` +
      `See ${endpoint}/${id}/discussions for a conversion and pull it with --revision refs/pr/N, or convert it with ` +
      'transformers (model.save_pretrained(folder, safe_serialization=True)) and give that folder.',
  );
}
