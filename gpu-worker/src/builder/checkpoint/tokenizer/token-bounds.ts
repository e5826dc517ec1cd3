/** Bounds what a tokenizer may hold: real ones have some 260,000 tokens of up to some hundred characters. */
import { CheckpointError } from '../../errors.ts';

/** Of tokenizer.json, the largest of all files that are read as a whole. */
export const MAX_TOKENIZER_BYTES = 64 << 20;
/** Of tokens, and so of ids; of merges there may be several for each. */
export const MAX_TOKENS = 500_000;
const MAX_MERGES = 2 * MAX_TOKENS;
/** Each is looked for in every text. */
const MAX_ADDED_TOKENS = 20_000;
/** UTF-16 units. */
const MAX_TOKEN_LENGTH = 1000;
const SHOWN_LENGTH = 60;

/**
 * What is not of the expected kind is left to the schema that reads it next.
 * @param json the content of a tokenizer.json, or what was made of files of older versions
 * @param source its path, or the names of those files, for messages
 * @throws CheckpointError naming the token or the number that is out of bounds, and the bound
 */
export function expectTokensInBounds(json: unknown, source: string): void {
  const { model, added_tokens } = (json ?? {}) as { model?: unknown; added_tokens?: unknown };
  const { vocab, merges } = (model ?? {}) as { vocab?: unknown; merges?: unknown };
  if (Array.isArray(added_tokens)) {
    expectCount('added_tokens', added_tokens.length, MAX_ADDED_TOKENS, source);
    for (const token of added_tokens) {
      expectToken(token?.content, token?.id, `${source}: added_tokens`);
    }
  }
  if (Array.isArray(vocab)) {
    expectCount('vocab', vocab.length, MAX_TOKENS, source);
    for (const piece of vocab) expectToken(piece?.[0], undefined, `${source}: vocab`);
  } else if (typeof vocab === 'object' && vocab !== null) {
    expectCount('vocab', Object.keys(vocab).length, MAX_TOKENS, source);
    for (const [token, id] of Object.entries(vocab)) expectToken(token, id, `${source}: vocab`);
  }
  if (!Array.isArray(merges)) return;
  expectCount('merges', merges.length, MAX_MERGES, source);
  for (const merge of merges) {
    const pair = Array.isArray(merge) ? merge : String(merge).split(' ');
    for (const piece of pair.slice(0, 2)) expectToken(piece, undefined, `${source}: merges`);
  }
}

/** @throws CheckpointError when there are more of them than any tokenizer has */
export function expectCount(what: string, count: number, most: number, source: string): void {
  if (count <= most) return;
  throw new CheckpointError(
    `${source}: ${what} has ${count} entries, and at most ${most} are supported: it is damaged, or of no language model.`,
  );
}

/** A token as messages show it. */
export function shownToken(token: string): string {
  return token.length > SHOWN_LENGTH ? `${token.slice(0, SHOWN_LENGTH)}…` : token;
}

/** @param id undefined where it is the token's place in a list */
export function expectToken(token: unknown, id: unknown, place: string): void {
  if (typeof token === 'string' && token.length > MAX_TOKEN_LENGTH) {
    throw tooLong(place, token, token.length);
  }
  if (typeof id !== 'number' || (Number.isInteger(id) && id >= 0 && id < MAX_TOKENS)) return;
  throw new CheckpointError(
    `${place}: "${shownToken(String(token))}" has the id ${id}, and ids are whole numbers from 0 to ${MAX_TOKENS - 1}: correct the file, or download it again.`,
  );
}

function tooLong(place: string, token: string, length: number): CheckpointError {
  return new CheckpointError(
    `${place}: "${shownToken(token)}" has ${length} characters, and a token has ${MAX_TOKEN_LENGTH} at most: correct the file, or download it again.`,
  );
}
