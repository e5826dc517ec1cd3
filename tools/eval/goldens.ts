/** Reads the goldens of the parity tests, which `golden/make/*.py` wrote. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const GOLDEN = fileURLToPath(new URL('../../test/parity/golden', import.meta.url));

export const CASES = ['tied', 'untied', 'half', 'coco'] as const;

/** One prompt about one image, and the tokens that transformers generates greedily. */
type Generation = { image: number; prompt: number[]; greedy: number[] };

export type GoldenTensor = { shape: number[]; values: Float32Array };

export type Golden = {
  checkpoint: string;
  generations: Generation[];
  pixels: GoldenTensor;
  imageFeatures: GoldenTensor;
  queryEmbeddings: GoldenTensor;
  /** [generations, vocab]: after the prompt. */
  nextTokenLogits: GoldenTensor;
};

export function readGolden(name: string): Golden {
  const folder = `${GOLDEN}/${name}`;
  const { generations, drawn } = JSON.parse(readFileSync(`${folder}/expected.json`, 'utf8'));
  const tensor = safetensors(readFileSync(`${folder}/expected.safetensors`));
  return {
    checkpoint: `${folder}/checkpoint`,
    generations,
    pixels: drawn === undefined ? tensor('pixel_values') : draw(drawn),
    imageFeatures: tensor('image_features'),
    queryEmbeddings: tensor('query_embeddings'),
    nextTokenLogits: tensor('next_token_logits'),
  };
}

/** The pixels of `draw` in golden/make/opt_checkpoints.py, which are too many to commit. */
function draw(shape: number[]): GoldenTensor {
  const length = shape.reduce((product, dim) => product * dim, 1);
  const value = (i: number) => (((i * i * 613 + i * 17) % 1000003) / 1000003) * 4 - 2;
  return { shape, values: Float32Array.from({ length }, (_, i) => value(i)) };
}

export const RETRIEVAL_CASES = ['match', 'match-bf16', 'resized'] as const;

export type RetrievalGolden = {
  checkpoint: string;
  /** Ids of each text, with [CLS] and [SEP]. */
  texts: number[][];
  pixels: GoldenTensor;
  imageFeatures: GoldenTensor;
  queryEmbeddings: GoldenTensor;
  /** [images, queries, itc width] */
  imageEmbeddings: GoldenTensor;
  /** [texts, itc width] */
  textEmbeddings: GoldenTensor;
  /** [images, texts, 2] */
  itmLogits: GoldenTensor;
};

export function readRetrievalGolden(name: string): RetrievalGolden {
  const folder = `${GOLDEN}/${name}`;
  const { texts } = JSON.parse(readFileSync(`${folder}/expected.json`, 'utf8'));
  const tensor = safetensors(readFileSync(`${folder}/expected.safetensors`));
  return {
    checkpoint: `${folder}/checkpoint`,
    texts,
    pixels: tensor('pixel_values'),
    imageFeatures: tensor('image_features'),
    queryEmbeddings: tensor('query_embeddings'),
    imageEmbeddings: tensor('image_embeddings'),
    textEmbeddings: tensor('text_embeddings'),
    itmLogits: tensor('itm_logits'),
  };
}

/** Patches a side: as the position embedding was learned, and as it is wanted. */
export const POSITION_GRIDS = [
  [4, 6],
  [3, 13],
  [7, 2],
  [16, 26],
  [5, 4],
] as const;

/** The position embedding [1, patches + 1, width] of one of the pairs of grids, before and after. */
export function readPositions(learned: number, wanted: number) {
  const tensor = safetensors(readFileSync(`${GOLDEN}/positions/expected.safetensors`));
  return { learned: tensor(`${learned}`), wanted: tensor(`${learned}-${wanted}`) };
}

export const T5_CASES = ['t5', 't5-bf16'] as const;

export type T5Golden = Omit<Golden, 'generations'> & {
  generations: (Generation & { beams: number[][]; scores: number[] })[];
  max_new_tokens: number;
  /** Settings of the beam search. */
  beams: Record<string, number>;
};

export function readT5Golden(name: string): T5Golden {
  const folder = `${GOLDEN}/${name}`;
  const expected = JSON.parse(readFileSync(`${folder}/expected.json`, 'utf8'));
  return { ...readGolden(name), ...expected };
}

/** What transformers' processor and InstructBLIP make of an image and a text. */
type InstructReply = {
  image: string;
  /** The text of a caption, or a question, of which the text was made. */
  prompt?: string;
  question?: string;
  settings: Record<string, number>;
  /** Of the text for the language model, without image positions, and for the Q-Former. */
  input_ids: number[];
  instruction_ids: number[];
  ids: number[];
  text: string;
};

export type InstructGolden = {
  checkpoint: string;
  max_tokens: number;
  images: string[];
  /** By image, then by text, each greedy and by beam search. */
  replies: InstructReply[];
  imageFeatures: GoldenTensor;
  /** [images, texts, queries, hidden] */
  queryEmbeddings: GoldenTensor;
};

export const INSTRUCT_CASES = ['instruct-t5', 'instruct-opt'] as const;

export function readInstructGolden(name: (typeof INSTRUCT_CASES)[number]): InstructGolden {
  const folder = `${GOLDEN}/${name}`;
  const tensor = safetensors(readFileSync(`${folder}/expected.safetensors`));
  return {
    checkpoint: `${folder}/checkpoint`,
    ...JSON.parse(readFileSync(`${folder}/expected.json`, 'utf8')),
    imageFeatures: tensor('image_features'),
    queryEmbeddings: tensor('query_embeddings'),
  };
}

/** Row `index` of a tensor's first dimension. */
export function rowOf({ shape, values }: GoldenTensor, index: number): Float32Array {
  const width = values.length / shape[0]!;
  return values.slice(index * width, (index + 1) * width);
}

/** Not the builder's reader, which is under test here. */
function safetensors(file: Buffer): (name: string) => GoldenTensor {
  const start = 8 + Number(file.readBigUInt64LE());
  const header = JSON.parse(file.toString('utf8', 8, start));
  return (name) => {
    const { shape, data_offsets } = header[name];
    const bytes = file.subarray(start + data_offsets[0], start + data_offsets[1]);
    return { shape, values: new Float32Array(Uint8Array.from(bytes).buffer) };
  };
}
