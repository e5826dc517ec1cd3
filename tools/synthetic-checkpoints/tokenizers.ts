/** Tokenizers of the published kinds whose vocabulary is letters and filler. */

/** Each is made for a number of tokens. */
export const TOKENIZERS = {
  bpe: byteTokenizer,
  unigram: unigramTokenizer,
  wordpiece: wordTokenizer,
} as const satisfies Record<string, (vocabulary: number) => unknown>;

/** Byte-level BPE without merges: a token for each byte, filler for the rest of the vocabulary. */
function byteTokenizer(vocabulary: number) {
  const special = ['<s>', '<pad>', '</s>', '<unk>'];
  const bytes = Array.from({ length: 256 }, (_, byte) => byte).map((byte) => {
    const printable = (byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte !== 0xad);
    return printable ? String.fromCodePoint(byte) : null;
  });
  let next = 0x100;
  const names = bytes.map((character) => character ?? String.fromCodePoint(next++));
  const pieces = [...special, ...names];
  while (pieces.length < vocabulary) pieces.push(`unused${pieces.length}`);
  return {
    version: '1.0',
    added_tokens: special.map((content, id) => ({ id, content, special: true })),
    normalizer: null,
    pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, use_regex: true },
    post_processor: null,
    decoder: { type: 'ByteLevel' },
    model: { type: 'BPE', vocab: byId(pieces), merges: [] },
  };
}

/** Unigram of letters, as T5's: white space becomes a mark in front of a word, the last tokens are sentinels. */
function unigramTokenizer(vocabulary: number) {
  const special = ['<pad>', '</s>', '<unk>'];
  const letters = Array.from({ length: 0x5e }, (_, i) => String.fromCodePoint(0x21 + i));
  const known = ['▁', ...letters, ...letters.map((letter) => `▁${letter}`)];
  const sentinels = Array.from({ length: 100 }, (_, i) => `<extra_id_${99 - i}>`);
  const controls = [...special, ...sentinels];
  const filler = Math.max(0, vocabulary - controls.length - known.length);
  const pieces = [
    ...special.map((piece) => [piece, 0]),
    ...known.map((piece) => [piece, -5]),
    ...Array.from({ length: filler }, (_, i) => [`unused${i}`, -100]),
    ...sentinels.map((piece) => [piece, 0]),
  ];
  const metaspace = { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always', split: true };
  const isControl = new Set<unknown>(controls);
  return {
    version: '1.0',
    added_tokens: pieces
      .map(([content], id) => ({ id, content, special: true }))
      .filter(({ content }) => isControl.has(content)),
    normalizer: null,
    pre_tokenizer: { type: 'Sequence', pretokenizers: [{ type: 'WhitespaceSplit' }, metaspace] },
    post_processor: null,
    decoder: metaspace,
    model: { type: 'Unigram', unk_id: 2, vocab: pieces, byte_fallback: false },
  };
}

/** WordPiece of letters. */
function wordTokenizer(vocabulary: number) {
  const special = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]'];
  const letters = Array.from('abcdefghijklmnopqrstuvwxyz0123456789');
  const pieces = [...special, ...letters, ...letters.map((letter) => `##${letter}`)];
  while (pieces.length < vocabulary) pieces.push(`[unused${pieces.length}]`);
  return {
    version: '1.0',
    added_tokens: special.map((content, id) => ({ id, content, special: true })),
    normalizer: { type: 'BertNormalizer', lowercase: true },
    pre_tokenizer: { type: 'BertPreTokenizer' },
    post_processor: null,
    decoder: { type: 'WordPiece', prefix: '##', cleanup: true },
    model: { type: 'WordPiece', unk_token: '[UNK]', vocab: byId(pieces) },
  };
}

function byId(pieces: readonly string[]): Record<string, number> {
  return Object.fromEntries(pieces.map((piece, id) => [piece, id]));
}
