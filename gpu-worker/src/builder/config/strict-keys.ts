/** Refuses keys of a checkpoint's files that the builder does not read, by name: they may mean another model. */
import { CheckpointError } from '../errors.ts';

/** Some of a file's keys: where they stand, and which of them are known. */
export type KeyGroup = {
  /** What the path of a key begins with, '' for none: `text_config` of `text_config.rope_theta`. */
  at: string;
  members: Readonly<Record<string, unknown>>;
  isKnown: (key: string) => boolean;
};

/**
 * @param path of the file, for the message
 * @param ignored paths of keys that someone knows to change nothing
 * @param remedy what to do where the key does change something
 * @throws CheckpointError naming every key, with its value, that is not known and that says something
 */
export function expectKnownKeys(
  path: string,
  groups: readonly KeyGroup[],
  ignored: readonly string[],
  remedy = 'the model is not supported',
): void {
  const unknown = groups.flatMap(({ at, members, isKnown }) =>
    Object.entries(members)
      .filter(([key, value]) => !isKnown(key) && isSaid(value))
      .map(([key, value]) => ({ place: at === '' ? key : `${at}.${key}`, value }))
      .filter(({ place }) => !ignored.includes(place)),
  );
  if (unknown.length === 0) return;
  const list = unknown.map(({ place, value }) => `${place} = ${shortly(value)}`).join(', ');
  const places = [...ignored, ...unknown.map(({ place }) => place)].join(',');
  throw new CheckpointError(
    `${path}: the builder does not know ${list}. If that changes nothing of what the model computes, set BLIP2_IGNORE_CONFIG=${places}; else ${remedy}.`,
  );
}

/** Null, false and what is empty leave everything as it is without them. */
export function isSaid(value: unknown): boolean {
  if (value === undefined || value === null || value === false || value === '') return false;
  return typeof value !== 'object' || Object.keys(value).length > 0;
}

export function shortly(value: unknown): string {
  const text = JSON.stringify(value ?? null);
  return text.length > 80 ? `${text.slice(0, 79)}…` : text;
}
