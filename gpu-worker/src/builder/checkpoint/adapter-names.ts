/** Names of peft's files: which module of the base each tensor changes, and what it is of the change. */
import { CheckpointError } from '../errors.ts';
import type { StoredTensor, TensorSource } from './tensor-source.ts';

/** What one module has in the adapter's file, by the part's name. */
export type Parts = Map<string, StoredTensor>;

const PREFIX = /^base_model\.model\./;
/** Between a module's name and that of a part; the adapter's own name may follow, `default` mostly. */
const PARTS =
  /^(.+)\.(lora_A|lora_B|lora_embedding_A|lora_embedding_B|lora_magnitude_vector|ia3_l|hada_w1_a|hada_w1_b|hada_w2_a|hada_w2_b)((?:\.(?!weight$|bias$)[^.]+)?)(\.(?:weight|bias))?$/;
/** Parts of adapters that are not merged. */
const UNKNOWN_PARTS =
  /\.(lora_[A-Za-z_]+|hada_\w+|ia3_\w+|lokr_\w+|oft_\w+|vera_\w+|trainable_tokens\w*)(\.|$)/;

/** The adapter's tensors: parts of changes by module, and tensors that take the place of the base's. */
export function sortedTensors(tensors: TensorSource, path: string) {
  const changes = new Map<string, Parts>();
  const replacements = new Map<string, StoredTensor>();
  for (const [stored, tensor] of tensors) {
    const name = stored.replace(PREFIX, '');
    const [, module, kind, , suffix = ''] = PARTS.exec(name) ?? [];
    if (module !== undefined && kind !== undefined) {
      const parts = changes.get(module) ?? new Map();
      parts.set(suffix === '.bias' ? `${kind}.bias` : kind, tensor);
      changes.set(module, parts);
    } else if (UNKNOWN_PARTS.test(name)) {
      throw new CheckpointError(
        `${path}: "${stored}" cannot be merged. Merge it with peft (merge_and_unload, save_pretrained) and give that folder.`,
      );
    } else if (!name.includes('.original_module.')) {
      replacements.set(replacedName(name), tensor);
    }
  }
  return { changes, replacements };
}

/** As the base calls it: without the wrapper of peft around the module. */
function replacedName(name: string): string {
  return name
    .replace(/\.modules_to_save(\.(?!weight$|bias$)[^.]+(?=\.))?/, '')
    .replace('.base_layer.', '.');
}

export function moduleOf(tensor: string): string {
  return tensor.replace(/\.[^.]+$/, '');
}

/** Parts of BLIP-2 that may have been trained on their own. */
const ROOTS = ['', 'language_model.', 'qformer.', 'vision_model.'];

/**
 * What the adapter's names lack at their beginning.
 * @param names of modules that it changes, and of tensors that it brings
 */
export function rootOf(base: TensorSource, names: Iterable<string>, path: string): string {
  const all = [...names];
  if (all.length === 0) throw new CheckpointError(`${path} holds no tensors.`);
  const isModule = (name: string) => base.has(`${name}.weight`) || base.has(`${name}.bias`);
  // Not every tensor is the weight or bias of a module: the image encoder's class token is none.
  const has = (name: string) => base.has(name) || isModule(name) || isModule(moduleOf(name));
  const root = ROOTS.find((start) => all.every((name) => has(start + name)));
  if (root !== undefined) return root;
  const counts = ROOTS.map((start) => all.filter((name) => has(start + name)).length);
  const best = ROOTS[counts.indexOf(Math.max(...counts))]!;
  const missing = all.find((name) => !has(best + name));
  throw new CheckpointError(
    `${path} changes "${missing}", which the base does not have: it was made for another model.`,
  );
}
