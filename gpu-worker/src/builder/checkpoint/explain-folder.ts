/** What a folder without weights that can be read holds instead, and what to do about it. */

type Finding = { pattern: RegExp; say: (files: readonly string[]) => string };

/** The first that fits is said: what is nearest to a checkpoint comes first. */
const FINDINGS: readonly Finding[] = [
  {
    pattern: /-\d+-of-\d+\.(safetensors|bin)$/,
    say: (files) => {
      const kind = files[0]?.endsWith('.bin') ? 'pytorch_model.bin' : 'model.safetensors';
      return `has ${counted(files, 'shard')} (${files[0]}) and no index of them: add ${kind}.index.json from where they come from`;
    },
  },
  {
    pattern: /^(model|pytorch_model)\.[\w-]+\.(safetensors|bin)$/,
    say: ([file = '']) => {
      const whole = file.replace(/\.[\w-]+(?=\.(safetensors|bin)$)/, '');
      return `has only a variant of the weights, ${file}: rename it to ${whole}, or save it again without variant=`;
    },
  },
  {
    pattern: /^adapter_model\./,
    say: ([file]) =>
      `has an adapter (${file}) without adapter_config.json: add that file, which names the base and how to merge`,
  },
  {
    pattern: /\.safetensors$/,
    say: (files) =>
      `has ${files.join(', ')} but no model.safetensors: if that is the whole model, rename it to model.safetensors`,
  },
  {
    pattern: /\.gguf$/i,
    say: ([file]) =>
      `has ${file}, a GGUF file of llama.cpp: its weights are quantized and renamed. Get the original checkpoint in safetensors`,
  },
  {
    pattern: /\.(h5|keras)$/,
    say: ([file]) =>
      `has only weights of TensorFlow (${file}): load them with from_pretrained(FOLDER, from_tf=True) of transformers 4 and save_pretrained`,
  },
  {
    pattern: /\.msgpack$/,
    say: ([file]) =>
      `has only weights of Flax (${file}): load them with from_pretrained(FOLDER, from_flax=True) of transformers 4 and save_pretrained`,
  },
  {
    pattern: /\.onnx$/,
    say: ([file]) => `has a graph (${file}), which was made from a checkpoint: give the checkpoint`,
  },
  {
    pattern: /\.distcp$|^\.metadata$/,
    say: () =>
      "has a distributed checkpoint of torch: merge it first (accelerate merge-weights, or torch's dcp_to_torch_save)",
  },
  {
    pattern: /^(zero_to_fp32\.py|global_step\d+)$/,
    say: () =>
      'has a checkpoint of DeepSpeed: run python zero_to_fp32.py . pytorch_model.bin in it',
  },
  {
    pattern: /^checkpoint-\d+$/,
    say: (files) =>
      `has only checkpoints of a trainer (${files.join(', ')}): give one of those folders`,
  },
  {
    pattern: /^(training_args|optimizer|scheduler|rng_state\w*)\.(bin|pt|pth)$/,
    say: (files) => `has a trainer's own state (${files.join(', ')}) but no model`,
  },
  {
    pattern: /^(eva_vit_g|clip_vit_L)\.pth$/,
    say: ([file]) => `has LAVIS's image encoder (${file}) alone: add the checkpoint of the model`,
  },
];

const WANTED = 'neither model.safetensors nor model.safetensors.index.json';
const ALTERNATIVES = 'pytorch_model.bin, a .pth of LAVIS, or an adapter with adapter_config.json';

/**
 * @param present names of what is in the folder
 * @param adapters those of the folders within that are adapters
 */
export function explainNoWeights(
  folder: string,
  present: readonly string[],
  adapters: readonly string[],
): string {
  if (adapters.length > 0) {
    return `${folder} has ${WANTED}. It has only adapters in folders of their own (${shortly(adapters)}): give one of those folders.`;
  }
  for (const { pattern, say } of FINDINGS) {
    const files = present.filter((name) => pattern.test(name)).sort();
    if (files.length > 0) return `${folder} has ${WANTED}. It ${say(files)}.`;
  }
  const rest = present.filter((name) => !name.startsWith('.'));
  const holds = rest.length === 0 ? 'It is empty' : `It holds ${shortly(rest)}`;
  return `${folder} has ${WANTED}, nor ${ALTERNATIVES}. ${holds}.`;
}

function counted(files: readonly string[], what: string): string {
  return `${files.length} ${what}${files.length === 1 ? '' : 's'}`;
}

function shortly(names: readonly string[]): string {
  const more = names.length > 6 ? ` and ${names.length - 6} more` : '';
  return `${names.slice(0, 6).join(', ')}${more}`;
}
