/** Writes an adapter of the Q-Former of the case `instruct-t5`, for tests of what lies beside one. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { writeSafetensors } from './write-safetensors.ts';

const LORA = new URL('../parity/golden/adapters/lora/adapter_config.json', import.meta.url);
const LAYER = 'base_model.model.qformer.encoder.layer.1.attention.attention.query';

/** @param base path or hub id that it names */
export async function writeQueryAdapter(folder: string, base: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  const config = JSON.parse(await readFile(LORA, 'utf8'));
  const own = { base_model_name_or_path: base, target_modules: ['query'], r: 1, lora_alpha: 1 };
  await writeFile(join(folder, 'adapter_config.json'), JSON.stringify({ ...config, ...own }));
  await writeSafetensors(join(folder, 'adapter_model.safetensors'), {
    [`${LAYER}.lora_A.weight`]: [1, 28],
    [`${LAYER}.lora_B.weight`]: [28, 1],
  });
}
