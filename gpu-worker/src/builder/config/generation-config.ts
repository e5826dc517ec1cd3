/** `generation_config.json`: control tokens and defaults of a generation. */
import { join } from 'node:path';
import * as z from 'zod/mini';
import { readJson } from '../checkpoint/read-json.ts';
import { count, parseOrThrow } from './schema-helpers.ts';

const GenerationConfig = z.object({
  max_new_tokens: z.optional(z.nullable(count)),
  bos_token_id: z.optional(z.nullable(z.int())),
  eos_token_id: z.optional(z.nullable(z.union([z.int(), z.array(z.int())]))),
  pad_token_id: z.optional(z.nullable(z.int())),
  decoder_start_token_id: z.optional(z.nullable(z.int())),
});
export type GenerationConfig = z.infer<typeof GenerationConfig>;

/** `generation_config.json`; empty where the checkpoint has none. */
export async function readGenerationConfig(folder: string): Promise<GenerationConfig> {
  const path = join(folder, 'generation_config.json');
  const json = await readJson(path, {});
  return parseOrThrow(GenerationConfig, json, path);
}
