/**
 * Prompts and settings with which BLIP-2's authors evaluated: of the paper (arXiv 2301.12597), section 4 and appendix,
 * and, where it is silent, of their code, salesforce/LAVIS: `lavis/projects/blip2/eval/*.yaml` (lengths, beams, how
 * many candidates ITM ranks) and `lavis/processors/blip_processors.py` (how texts are written).
 */
import type { CaptionDataset } from './captioned-images.ts';

/** Options of a generation as the API names them. */
export type GenerationSettings = {
  num_beams: number;
  max_tokens: number;
  min_tokens: number;
  length_penalty: number;
};

/** The prompt that the models were fine-tuned with on COCO. */
export const CAPTION_PROMPT = 'a photo of';

/** `caption_coco_*_eval.yaml` and `caption_nocaps_out_domain_*_eval.yaml`. */
export const CAPTION_SETTINGS: Record<Exclude<CaptionDataset, 'flickr30k'>, GenerationSettings> = {
  coco: { num_beams: 5, max_tokens: 30, min_tokens: 8, length_penalty: 1 },
  nocaps: { num_beams: 5, max_tokens: 80, min_tokens: 10, length_penalty: 1 },
};

/** `*_zeroshot_*_eval.yaml`; the paper: a beam width of 5, and a length penalty of -1 for shorter answers. */
export const ANSWER_SETTINGS: GenerationSettings = {
  num_beams: 5,
  max_tokens: 10,
  min_tokens: 1,
  length_penalty: -1,
};

/** `ret_*_eval.yaml`: so many of ITC's best candidates are ranked by ITM. */
export const ITM_CANDIDATES = 128;

const MOST_WORDS = 50;

/** A question as `blip_question` writes it. */
export function plainQuestion(question: string): string {
  const plain = question.toLowerCase().replaceAll(/[.!"()*#:;~]/g, '');
  return firstWords(plain.trimEnd());
}

/** A caption as `blip_caption` writes it. */
export function plainCaption(caption: string): string {
  const plain = caption.toLowerCase().replaceAll(/[.!"()*#:;~]/g, ' ');
  return firstWords(plain.replaceAll(/\s{2,}/g, ' ').trim());
}

function firstWords(text: string): string {
  return text.split(' ').slice(0, MOST_WORDS).join(' ');
}
