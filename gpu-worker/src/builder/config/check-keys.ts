/** A key of config.json that nothing here reads may mean another model: it stops the build. */
import { join } from 'node:path';
import * as z from 'zod/mini';
import { readJson } from '../checkpoint/read-json.ts';
import { CheckpointError } from '../errors.ts';
import { IDLE_CONFIG } from './ignored-keys.ts';
import { GenerateConfig, RetrieveConfig } from './model-config.ts';
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
  const unknown = partsOf(kind, config).flatMap(({ at, read, idle }) =>
    Object.entries(membersAt(config, at))
      .filter(([key, value]) => !Object.hasOwn(read, key) && !idle.includes(key) && isSaid(value))
      .map(([key, value]) => ({ place: at === '' ? key : `${at}.${key}`, value }))
      .filter(({ place }) => !ignored.includes(place)),
  );
  if (unknown.length === 0) return;
  const list = unknown.map(({ place, value }) => `${place} = ${shortly(value)}`).join(', ');
  const places = [...ignored, ...unknown.map(({ place }) => place)].join(',');
  throw new CheckpointError(
    `${path}: the builder does not know ${list}. If that changes nothing of what the model computes, set BLIP2_IGNORE_CONFIG=${places}; else the model is not supported.`,
  );
}

function membersAt(config: Members, at: string): Members {
  return at === '' ? config : (Members.safeParse(config[at]).data ?? {});
}

/** Null, false and what is empty leave everything as it is without them. */
function isSaid(value: unknown): boolean {
  if (value === null || value === false || value === '') return false;
  return typeof value !== 'object' || Object.keys(value).length > 0;
}

function shortly(value: unknown): string {
  const text = JSON.stringify(value);
  return text.length > 80 ? `${text.slice(0, 79)}…` : text;
}
