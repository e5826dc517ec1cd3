/** Inputs as files: JSON in which bytes and numbers that JSON lacks keep what they are. */
import { createHash } from 'node:crypto';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { makeFolder } from '@blip2/gpu-worker/make-folder';
import * as z from 'zod/mini';

/** An input that once did what must never happen. */
export type KeptInput = { target: string; violation: string; input: unknown };

const StoredInput = z.object({ violation: z.string(), input: z.unknown() });

const BYTES = '$base64';
const NUMBER = '$number';

/** @example encodeInput({ body: Uint8Array.of(1) }) // {"body": {"$base64": "AQ=="}} */
export function encodeInput(input: unknown): string {
  return JSON.stringify(input, replace, 2);
}

export function decodeInput(text: string): unknown {
  return JSON.parse(text, revive);
}

function replace(_key: string, value: unknown): unknown {
  if (value instanceof Uint8Array) return { [BYTES]: Buffer.from(value).toString('base64') };
  const isPlain = typeof value !== 'number' || (Number.isFinite(value) && !Object.is(value, -0));
  return isPlain ? value : { [NUMBER]: Object.is(value, -0) ? '-0' : String(value) };
}

function revive(_key: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (BYTES in value) return new Uint8Array(Buffer.from(String(value[BYTES]), 'base64'));
  return NUMBER in value ? Number(value[NUMBER]) : value;
}

/**
 * Writes a file for an input into the folder of its target; the same input has the same file.
 * @returns its path
 */
export async function keepInput(
  corpus: string,
  { target, violation, input }: KeptInput,
): Promise<string> {
  // Without the stack, which has paths of this machine.
  const [said = ''] = violation.split('\n');
  const text = `${encodeInput({ violation: said, input })}\n`;
  const words = violation.toLowerCase().match(/[a-z]+/g) ?? [];
  const hash = createHash('sha256').update(encodeInput(input)).digest('hex').slice(0, 8);
  const path = join(corpus, target, `${[...words.slice(0, 6), hash].join('-')}.json`);
  await makeFolder(dirname(path));
  await writeFile(path, text);
  return path;
}

/** A stored input; its folder names the target. */
export async function readInput(path: string): Promise<KeptInput> {
  const { violation, input } = StoredInput.parse(decodeInput(await readFile(path, 'utf8')));
  return { target: basename(dirname(path)), violation, input };
}

/** Paths of all inputs stored for the targets, by name. */
export async function inputsIn(corpus: string): Promise<string[]> {
  const names = await readdir(corpus, { recursive: true }).catch(() => []);
  return names
    .filter((name) => name.endsWith('.json'))
    .map((name) => join(corpus, name))
    .sort();
}
