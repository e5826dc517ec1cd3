/** Embedding and head under an adapter: two tensors that are one, until one of them is changed. */
import type { StoredTensor, TensorSource } from './tensor-source.ts';

const OPT_EMBEDDING = 'language_model.model.decoder.embed_tokens';
/** OPT's and T5's. */
const HEAD = 'language_model.lm_head';

/**
 * The tensors with those that a file may leave out because they are others under a second name: OPT's head or embedding,
 * and what T5's encoder, decoder and head call its embedding.
 * @param isTied whether the head is the embedding where the file has one of them
 */
export function withTiedTensors(base: TensorSource, isTied: boolean): Map<string, StoredTensor> {
  const all = new Map(base);
  const shared = base.get(`${T5_EMBEDDING}.weight`);
  if (shared !== undefined) {
    // A head that the file leaves out is the embedding too, whatever the config says.
    for (const copy of [...T5_COPIES, `${HEAD}.weight`]) if (!all.has(copy)) all.set(copy, shared);
    return all;
  }
  const [embedding, head] = [OPT_EMBEDDING, HEAD].map((name) => base.get(`${name}.weight`));
  if (!isTied) return all;
  if (embedding !== undefined && head === undefined) all.set(`${HEAD}.weight`, embedding);
  if (embedding === undefined && head !== undefined) all.set(`${OPT_EMBEDDING}.weight`, head);
  return all;
}

/**
 * An adapter changes embedding or head alone: the other stays what both were. A vocabulary that grew is one of both
 * again, and of all of T5's names.
 */
export function untied(
  base: TensorSource,
  originals: TensorSource,
  merged: ReadonlyMap<string, StoredTensor>,
): TensorSource {
  const names = [...VOCABULARY, ...T5_COPIES];
  const isResized = VOCABULARY.some((name) => {
    const [before, after] = [originals.get(name), merged.get(name)];
    return before !== undefined && after !== undefined && before.shape[0] !== after.shape[0];
  });
  const rest = isResized ? [...base].filter(([name]) => !names.includes(name)) : [...base];
  const pair = [`${OPT_EMBEDDING}.weight`, `${HEAD}.weight`];
  const unchanged =
    !isResized && pair.some((name) => merged.has(name))
      ? pair.flatMap((name) => (originals.has(name) ? [[name, originals.get(name)!] as const] : []))
      : [];
  return new Map([...rest, ...unchanged, ...merged]);
}

const T5_EMBEDDING = 'language_model.shared';
const T5_COPIES = ['encoder', 'decoder'].map(
  (stack) => `language_model.${stack}.embed_tokens.weight`,
);
/** Have a row for each token: peft saves them whole when tokens were added. */
const VOCABULARY = [OPT_EMBEDDING, HEAD, T5_EMBEDDING].map((module) => `${module}.weight`);

export function isResizedVocabulary(
  name: string,
  after: StoredTensor,
  before: StoredTensor,
): boolean {
  const [rows, ...width] = after.shape;
  return (
    VOCABULARY.includes(name) &&
    rows !== before.shape[0] &&
    `${width}` === `${before.shape.slice(1)}`
  );
}

/** Tokens that the embedding has rows for; null where there is no language model. */
export function vocabularyOf(tensors: TensorSource): number | null {
  const name = VOCABULARY.find((tensor) => tensors.has(tensor));
  return name === undefined ? null : (tensors.get(name)?.shape[0] ?? null);
}

/** T5's embedding is three modules of which peft changes one or two: graphs have one for encoder and decoder. */
export function expectOwnEmbedding(module: string, fail: (why: string) => Error): void {
  if (!/^language_model\.(shared|(en|de)coder\.embed_tokens)$/.test(module)) return;
  throw fail(`"${module}" is changed: adapters of T5's embedding are not supported`);
}

/** What peft computes with an adapter of OPT's positions, in training as well, is not what it merges. */
export function expectOtherThanPositions(module: string, fail: (why: string) => Error): void {
  if (module !== 'language_model.model.decoder.embed_positions') return;
  throw fail(`"${module}" is changed: adapters of OPT's positions are not supported`);
}
