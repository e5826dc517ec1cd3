/**
 * Brings the added tokens of all files of a checkpoint together in its tokenizer.json: those that only another file has
 * are added with the ids that `transformers` gives them, and files that contradict each other are refused by name.
 */
import type { AddedToken } from '@blip2/shared/tokenizer/tokenizer-file';
import { CheckpointError } from '../../errors.ts';
import { shownToken } from './token-bounds.ts';
import type { DeclaredToken, TokenFiles } from './token-files.ts';
import { type TokenizerJson, vocabularyOf } from './tokenizer-json.ts';

/** Tokens of BLIP-2 and T5 that no text may become, wherever they are listed. */
const CONTROLS = /^(<image>|\[DEC\]|\[ENC\]|<extra_id_\d+>)$/;

/** In this order `transformers` adds tokens with a role that the tokenizer lacks; others follow. */
const ROLES = ['bos', 'eos', 'unk', 'sep', 'pad', 'cls', 'mask'].map((role) => `${role}_token`);

/**
 * The added tokens with their ids and flags. One that is listed as a further special token is a word of the
 * fine-tune, which a text may hold, unless it has a role; one that has a role is none, whatever its flag.
 * @param controlIds ids that have a role in config.json
 * @throws CheckpointError naming a token that has another id or flag in another file
 */
export function mergeAddedTokens(
  file: TokenizerJson,
  files: TokenFiles,
  controlIds: ReadonlySet<number>,
): AddedToken[] {
  const roles = new Set(files.roles.values());
  const isControl = (content: string) => roles.has(content) || CONTROLS.test(content);
  const tokens = new TokenList(file);
  for (const token of declaredTokens(files, isControl)) {
    tokens.declare(token, { hasFlags: token.from === CONFIG, isControl: isControl(token.content) });
  }
  for (const content of [...byRole(files.roles), ...files.listed]) tokens.addSpecial(content);

  const { ids } = vocabularyOf(file);
  const listed = new Set(files.config.split_special_tokens === true ? [] : files.listed);
  return tokens.all.map((token) => {
    const { content } = token;
    const isWord = listed.has(content) && !isControl(content) && !ids.has(content);
    const hasRole = isControl(content) || controlIds.has(token.id);
    const special = hasRole || (token.special && !isWord);
    // Where this flag is left out it follows `special`, which changes here.
    const normalized = token.normalized ?? !token.special;
    return special === token.special ? token : { ...token, special, normalized };
  });
}

const CONFIG = 'tokenizer_config.json';
const OLDER = 'added_tokens.json';

type Declared = AddedToken & { from: typeof CONFIG | typeof OLDER };

/** Tokens that a file declares with their ids, by id: `added_tokens_decoder`, and where there is none the older file. */
function declaredTokens(
  { config, added, listed }: TokenFiles,
  isControl: (content: string) => boolean,
): Declared[] {
  const decoder = Object.entries(config.added_tokens_decoder ?? {});
  const names = new Set(listed);
  const ids = new Map(decoder.map(([id, { content }]) => [content, Number(id)]));
  const older = [...added].filter(([content, id]) => {
    if (ids.size === 0 || ids.get(content) === id) return ids.size === 0;
    const there = ids.has(content) ? `is ${ids.get(content)}` : 'is missing';
    throw contradiction(content, `is ${id} in ${OLDER}, and ${there} in ${CONFIG}`);
  });
  return [
    ...decoder.map(([id, token]) => ({ ...withFlags(Number(id), token), from: CONFIG }) as const),
    // This file has no flags: these are what `transformers` takes them for.
    ...older.map(([content, id]) => {
      const special = isControl(content) || names.has(content);
      return { ...withFlags(id, { content, special }), from: OLDER } as const;
    }),
  ].toSorted((a, b) => a.id - b.id);
}

function withFlags(id: number, token: DeclaredToken): AddedToken & { normalized: boolean } {
  const special = token.special ?? false;
  return {
    id,
    content: token.content,
    single_word: token.single_word ?? false,
    lstrip: token.lstrip ?? false,
    rstrip: token.rstrip ?? false,
    normalized: token.normalized ?? !special,
    special,
  };
}

function byRole(roles: ReadonlyMap<string, string>): string[] {
  const known = ROLES.flatMap((role) => roles.get(role) ?? []);
  return [...known, ...roles.values()];
}

/** Added tokens while they are brought together. */
class TokenList {
  readonly #tokens = new Map<string, AddedToken>();
  readonly #vocabulary: ReadonlyMap<string, number>;
  /** What `tokenizers` gives the next token that the vocabulary lacks. */
  #nextId: number;

  constructor(file: TokenizerJson) {
    const { ids, nextId } = vocabularyOf(file);
    this.#vocabulary = ids;
    this.#nextId = nextId;
    for (const token of file.added_tokens) {
      const { id, content, special } = token;
      if (this.#tokens.has(content)) throw contradiction(content, 'is in tokenizer.json twice');
      const given = this.#idOf(content);
      // Those of control tokens are compared where they are used: no text becomes one.
      if (given !== id && !special) {
        throw contradiction(content, `is ${id} in tokenizer.json, and would be read as ${given}`);
      }
      this.#add(token);
    }
  }

  get all(): AddedToken[] {
    return [...this.#tokens.values()];
  }

  /** A token of another file, compared with the one that is there. */
  declare(
    { from, ...token }: Declared,
    { hasFlags, isControl }: { hasFlags: boolean; isControl: boolean },
  ): void {
    const { id, content } = token;
    const present = this.#tokens.get(content);
    const idHere = present?.id ?? this.#idOf(content);
    if (idHere !== id) {
      throw contradiction(content, `is ${id} in ${from}, and ${idHere} in tokenizer.json`);
    }
    if (present === undefined) {
      this.#add(token);
      return;
    }
    const here = withFlags(id, present);
    // Nobody looks for a control token in a text, however it would be found.
    const found = isControl ? [] : (['single_word', 'lstrip', 'rstrip', 'normalized'] as const);
    const different = (['special', ...found] as const).find((flag) => here[flag] !== token[flag]);
    if (!hasFlags || different === undefined) return;
    const [there, own] = [token[different], here[different]];
    throw contradiction(
      content,
      `has ${different} ${there} in ${from}, and ${own} in tokenizer.json`,
    );
  }

  /** A special token of which only the name is known. */
  addSpecial(content: string): void {
    if (content === '' || this.#tokens.has(content)) return;
    this.#add(withFlags(this.#idOf(content), { content, special: true }));
  }

  #idOf(content: string): number {
    return this.#vocabulary.get(content) ?? this.#nextId;
  }

  #add(token: AddedToken): void {
    this.#tokens.set(token.content, token);
    if (!this.#vocabulary.has(token.content)) this.#nextId++;
  }
}

function contradiction(content: string, what: string): CheckpointError {
  return new CheckpointError(`The added token "${shownToken(content)}" ${what}.`);
}
