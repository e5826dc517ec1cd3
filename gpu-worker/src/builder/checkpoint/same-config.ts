/** What the configs of an adapter and of its base say of each other. */
import { join } from 'node:path';
import * as z from 'zod/mini';
import { IGNORED_KEYS } from '../config/ignored-keys.ts';
import { parseOrThrow } from '../config/schema-helpers.ts';
import { isSaid, shortly } from '../config/strict-keys.ts';
import { CheckpointError } from '../errors.ts';
import { readJson } from './read-json.ts';

const CONFIG = 'config.json';
const Members = z.record(z.string(), z.unknown());
const Config = z.looseObject({ text_config: Members });

/**
 * @param base folder with the base's config, and what the base is called
 * @throws CheckpointError naming what the two configs say differently; keys that change nothing may
 */
export async function expectSameModel(
  folder: string,
  { folder: base, name }: { folder: string; name: string },
): Promise<void> {
  const own = await readJson(join(folder, CONFIG), null);
  if (own === null) return;
  const idle: ReadonlySet<string> = new Set(Object.values(IGNORED_KEYS).flat());
  const differing = differences(own, await readJson(join(base, CONFIG)), idle, '');
  if (differing.length === 0) return;
  throw new CheckpointError(
    `${join(folder, CONFIG)} is not that of the base in ${name}: ${differing.slice(0, 3).join(', ')}. Remove it, or name the base that it belongs to.`,
  );
}

function differences(own: unknown, base: unknown, idle: ReadonlySet<string>, at: string): string[] {
  const [mine, theirs] = [Members.safeParse(own), Members.safeParse(base)];
  if (!mine.success || !theirs.success) {
    if (JSON.stringify(own) === JSON.stringify(base) || !(isSaid(own) || isSaid(base))) return [];
    return [`${at} is ${shortly(own ?? null)}, not ${shortly(base ?? null)}`];
  }
  // A key that one of them leaves out has its default there, which the other may spell out.
  const both = Object.keys(mine.data).filter((key) => Object.hasOwn(theirs.data, key));
  return both
    .filter((key) => !idle.has(key) || key.endsWith('_config'))
    .flatMap((key) =>
      differences(mine.data[key], theirs.data[key], idle, at === '' ? key : `${at}.${key}`),
    );
}

/** Whether head and embedding of the language model are one where the file has one of them. */
export async function isHeadTied(folder: string): Promise<boolean> {
  const Config = z.looseObject({ text_config: z.optional(z.looseObject({})) });
  const config = Config.safeParse(await readJson(join(folder, CONFIG), {}));
  return config.data?.text_config?.tie_word_embeddings !== false;
}

/**
 * `config.json` for a language model with another number of tokens.
 * @throws CheckpointError naming the file where it has no language model
 */
export async function configWithVocabulary(
  folder: string,
  vocab_size: number | null,
): Promise<string> {
  const path = join(folder, CONFIG);
  const config = parseOrThrow(Config, await readJson(path), path);
  const text_config = { ...config.text_config, vocab_size };
  return `${JSON.stringify({ ...config, text_config }, null, 2)}\n`;
}
