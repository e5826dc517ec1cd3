/** Reads `spiece.model`: the pieces and character map of a SentencePiece model. */
import { fromBinary } from '@bufbuild/protobuf';
import { BinaryReader } from '@bufbuild/protobuf/wire';
import { CheckpointError } from '../../errors.ts';
import {
  type ModelProto,
  ModelProtoSchema,
  TrainerSpec_ModelType as ModelType,
  SentencePiece_Type as PieceType,
} from './generated/sentencepiece_pb.ts';
import { expectCount, MAX_TOKENS } from './token-bounds.ts';

export type SentencePieceModel = {
  /** Pieces and logarithms of their probabilities, by id. */
  pieces: readonly [piece: string, score: number][];
  unknownId: number;
  /** Pieces that control the model, and such as were found before all others. */
  controls: readonly string[];
  userDefined: readonly string[];
  /** What a text is normalized with, as tokenizer.json has it; null for nothing. */
  charsmap: string | null;
};

/**
 * A unigram model as T5's are.
 * @throws CheckpointError naming the setting that makes other pieces of a text
 */
export function readSentencePiece(bytes: Uint8Array, path: string): SentencePieceModel {
  const model = parse(bytes, path);
  const { pieces, trainerSpec, normalizerSpec } = model;
  const all = [...pieces.entries()];
  const named = (type: PieceType) =>
    all.filter(([, piece]) => piece.type === type).map(([id, { piece }]) => ({ id, piece }));
  const unknown = named(PieceType.UNKNOWN);
  const refused: Record<string, boolean> = {
    'no pieces': pieces.length === 0,
    'a model_type that is not unigram': (trainerSpec?.modelType ?? 1) !== ModelType.UNIGRAM,
    treat_whitespace_as_suffix: trainerSpec?.treatWhitespaceAsSuffix === true,
    byte_fallback: trainerSpec?.byteFallback === true || named(PieceType.BYTE).length > 0,
    'unused pieces': named(PieceType.UNUSED).length > 0,
    [`${unknown.length} unknown pieces`]: unknown.length !== 1,
    'add_dummy_prefix false': normalizerSpec?.addDummyPrefix === false,
    'remove_extra_whitespaces false': normalizerSpec?.removeExtraWhitespaces === false,
    'escape_whitespaces false': normalizerSpec?.escapeWhitespaces === false,
    'a denormalizer': (model.denormalizerSpec?.precompiledCharsmap.length ?? 0) > 0,
  };
  const reasons = Object.keys(refused).filter((reason) => refused[reason]);
  if (reasons.length > 0) {
    throw new CheckpointError(`${path}: not supported: ${reasons.join(', ')}.`);
  }
  const charsmap = normalizerSpec?.precompiledCharsmap ?? new Uint8Array();
  return {
    pieces: pieces.map(({ piece, score }) => [piece, score]),
    unknownId: unknown[0]?.id ?? 0,
    controls: named(PieceType.CONTROL).map(({ piece }) => piece),
    userDefined: named(PieceType.USER_DEFINED).map(({ piece }) => piece),
    charsmap: charsmap.length === 0 ? null : Buffer.from(charsmap).toString('base64'),
  };
}

function parse(bytes: Uint8Array, path: string): ModelProto {
  try {
    expectCount('the list of pieces', countPieces(bytes), MAX_TOKENS, path);
    return fromBinary(ModelProtoSchema, bytes);
  } catch (cause) {
    if (cause instanceof CheckpointError) throw cause;
    throw new CheckpointError(`${path} is no SentencePiece model.`, { cause });
  }
}

const PIECES_FIELD = 1;

/** Without making any: two bytes of the file can be a piece, which takes a hundred in memory. */
function countPieces(bytes: Uint8Array): number {
  const reader = new BinaryReader(bytes);
  let count = 0;
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (field === PIECES_FIELD) count++;
    reader.skip(type, field);
  }
  return count;
}
