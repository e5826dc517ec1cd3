/** What the paper reports of BLIP-2 (arXiv 2301.12597), in percent; of CIDEr, times 100. */

/** Rows of a table: the model, then a value for each column that has one. */
export type Published = {
  table: string;
  rows: readonly (readonly [string, ...(number | null)[]])[];
};

/** CIDEr in-domain, near-domain, out-of-domain, overall. */
export const NOCAPS: Published = {
  table: 'Table 3, fine-tuned on COCO, zero-shot on nocaps (validation)',
  rows: [
    ['ViT-g OPT 2.7B', 123.0, 117.8, 123.4, 119.7],
    ['ViT-g OPT 6.7B', 123.7, 119.2, 124.4, 121.0],
    ['ViT-g FlanT5 XL', 123.7, 120.2, 124.8, 121.6],
  ],
};

/** BLEU-4, CIDEr. */
export const COCO_CAPTIONS: Published = {
  table: 'Table 3, fine-tuned on COCO, Karpathy’s test split',
  rows: [
    ['ViT-g OPT 2.7B', 43.7, 145.8],
    ['ViT-g OPT 6.7B', 43.5, 145.2],
    ['ViT-g FlanT5 XL', 42.4, 144.5],
  ],
};

/** VQAv2 (validation), OK-VQA (test), GQA (test-dev). */
const ZERO_SHOT = [
  ['ViT-L OPT 2.7B', 50.1, 30.2, 33.9],
  ['ViT-g OPT 2.7B', 53.5, 31.7, 34.6],
  ['ViT-g OPT 6.7B', 54.3, 36.4, 36.4],
  ['ViT-L FlanT5 XL', 62.6, 39.4, 44.4],
  ['ViT-g FlanT5 XL', 63.1, 40.7, 44.2],
  ['ViT-g FlanT5 XXL', 65.2, 45.9, 44.7],
] as const;

const zeroShot = (split: string, column: 1 | 2 | 3): Published => ({
  table: `Table 2, zero-shot, ${split}`,
  rows: ZERO_SHOT.map((row) => [row[0], row[column]]),
});

export const ANSWERS = {
  vqav2: zeroShot('validation', 1),
  okvqa: zeroShot('test', 2),
  gqa: zeroShot('test-dev', 3),
} as const;

/** Recall at 1, 5, 10: of texts for an image, then of images for a text. */
export const RETRIEVAL = {
  flickr30k: {
    table: 'Table 5, fine-tuned on COCO, zero-shot on Flickr30k (1K test)',
    rows: [
      ['ViT-L', 96.9, 100, 100, 88.6, 97.6, 98.9],
      ['ViT-g', 97.6, 100, 100, 89.7, 98.1, 98.9],
    ],
  },
  coco: {
    table: 'Table 5, fine-tuned on COCO, its test split (5K)',
    rows: [
      ['ViT-L', 83.5, 96.0, 98.0, 66.3, 86.5, 91.8],
      ['ViT-g', 85.4, 97.0, 98.5, 68.3, 87.7, 92.6],
    ],
  },
} as const satisfies Record<string, Published>;
