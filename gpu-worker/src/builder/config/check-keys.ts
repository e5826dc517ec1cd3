/** A key of config.json that nothing here reads may mean another model: it stops the build. */
import { join } from 'node:path';
import * as z from 'zod/mini';
import { readJson } from '../checkpoint/read-json.ts';
import { IDLE_CONFIG } from './ignored-keys.ts';
import { GenerateConfig, RetrieveConfig } from './model-config.ts';
import { expectKnownKeys } from './strict-keys.ts';
import { TEXT_CONFIGS } from './text-config.ts';

type Members = Record<string, unknown>;
const Members = z.record(z.string(), z.unknown());

/** Where a part stands in the file, the keys that the builder reads, and those that change nothing. */
type Part = { at: string; read: object; idle: readonly string[] };

const imageSide = ({ shape }: typeof GenerateConfig | typeof RetrieveConfig): Part[] => [
  { at: 'vision_config', read: shape.vision_config.shape, idle: IDLE_CONFIG.vision_config },
  { at: 'qformer_config', read: shape.qformer_config.shape, idle: IDLE_CONFIG.qformer_config },
];

function partsOf(kind: 'generate' | 'retrieve', config: Members): Part[] {
  if (kind === 'retrieve') {
    const whole = { at: '', read: RetrieveConfig.shape, idle: IDLE_CONFIG.retrieve };
    return [whole, ...imageSide(RetrieveConfig)];
  }
  const whole = { at: '', read: GenerateConfig.shape, idle: IDLE_CONFIG.generate };
  const type = membersAt(config, 'text_config').model_type;
  // Another type is refused by the schema.
  const text = (['opt', 't5'] as const)
    .filter((family) => family === type)
    .map((family) => ({
      at: 'text_config',
      read: TEXT_CONFIGS[family].shape,
      idle: IDLE_CONFIG[family],
    }));
  return [whole, ...imageSide(GenerateConfig), ...text];
}

/**
 * @param ignored paths (`text_config.rope_theta`) of keys that someone knows to change nothing
 * @throws CheckpointError naming every key, with its value, that the builder does not know and that says something
 */
export async function expectKnownConfig(
  folder: string,
  kind: 'generate' | 'retrieve',
  ignored: readonly string[],
): Promise<void> {
  const path = join(folder, 'config.json');
  const config = Members.safeParse(await readJson(path)).data ?? {};
  const groups = partsOf(kind, config).map(({ at, read, idle }) => ({
    at,
    members: membersAt(config, at),
    isKnown: (key: string) => Object.hasOwn(read, key) || idle.includes(key),
  }));
  expectKnownKeys(path, groups, ignored);
}

function membersAt(config: Members, at: string): Members {
  return at === '' ? config : (Members.safeParse(config[at]).data ?? {});
}
