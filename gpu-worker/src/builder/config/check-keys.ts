/** Checks the keys of config.json: one that the builder does not know may mean another model, and stops the build. */
import { join } from 'node:path';
import * as z from 'zod/mini';
import { readJson } from '../checkpoint/read-json.ts';
import { IGNORED_KEYS } from './ignored-keys.ts';
import { GenerativeConfig, RetrievalConfig } from './model-config.ts';
import { expectKnownKeys, isSaid } from './strict-keys.ts';
import { TEXT_CONFIGS } from './text-config.ts';

type Members = Record<string, unknown>;
const Members = z.record(z.string(), z.unknown());

/** A section of the file ('' for the top), the keys of it that the builder reads, and those that change nothing. */
type Section = { name: string; read: object; ignored: readonly string[] };

const imageSections = ({ shape }: typeof GenerativeConfig | typeof RetrievalConfig): Section[] => [
  {
    name: 'vision_config',
    read: shape.vision_config.shape,
    ignored: IGNORED_KEYS.vision_config,
  },
  {
    name: 'qformer_config',
    read: shape.qformer_config.shape,
    ignored: IGNORED_KEYS.qformer_config,
  },
];

function sectionsOf(kind: 'generate' | 'retrieve', config: Members): Section[] {
  if (kind === 'retrieve') {
    const top = { name: '', read: RetrievalConfig.shape, ignored: IGNORED_KEYS.retrieve };
    return [top, ...imageSections(RetrievalConfig)];
  }
  const top = { name: '', read: GenerativeConfig.shape, ignored: IGNORED_KEYS.generate };
  const type = membersOf(config, 'text_config').model_type;
  // Another type is refused by the schema.
  const text = (['opt', 't5'] as const)
    .filter((family) => family === type)
    .map((family) => ({
      name: 'text_config',
      read: TEXT_CONFIGS[family].shape,
      ignored: IGNORED_KEYS[family],
    }));
  return [top, ...imageSections(GenerativeConfig), ...text];
}

/**
 * @param ignored paths (`text_config.rope_theta`) of more keys that are known to change nothing
 * @throws CheckpointError naming every key that is set and that the builder does not know, with its value
 */
export async function expectKnownConfig(
  folder: string,
  kind: 'generate' | 'retrieve',
  ignored: readonly string[],
): Promise<void> {
  const path = join(folder, 'config.json');
  const config = Members.safeParse(await readJson(path)).data ?? {};
  const groups = sectionsOf(kind, config).map(({ name, read, ignored: ignoredMembers }) => ({
    at: name,
    members: membersOf(config, name),
    isKnown: (key: string) => Object.hasOwn(read, key) || ignoredMembers.includes(key),
  }));
  const isQuantized = groups.some(({ members }) => isSaid(members.quantization_config));
  expectKnownKeys(path, groups, ignored, isQuantized ? DEQUANTIZE : undefined);
}

const DEQUANTIZE =
  'its weights are quantized: load it with transformers, call dequantize(), save_pretrained, and give that folder';

function membersOf(config: Members, section: string): Members {
  return section === '' ? config : (Members.safeParse(config[section]).data ?? {});
}
