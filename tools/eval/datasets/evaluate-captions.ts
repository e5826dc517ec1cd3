/** Captions of COCO and nocaps, compared with those that people wrote. */
import * as z from 'zod/mini';
import { corpusBleu } from '../metrics/bleu.ts';
import { ciderD } from '../metrics/cider.ts';
import { type CaptionPair, mean } from '../metrics/ngrams.ts';
import { ptbTokens } from '../metrics/ptb-tokenizer.ts';
import { rougeL } from '../metrics/rouge.ts';
import { type CaptionedImage, readCaptionedImages } from './captioned-images.ts';
import { COCO_CAPTIONS, NOCAPS } from './published-results.ts';
import { CAPTION_PROMPT, CAPTION_SETTINGS } from './published-settings.ts';
import {
  besidePaper,
  forEachItem,
  openReplies,
  percent,
  type Report,
  type RunOptions,
  spread,
} from './run.ts';

const DOMAINS = ['in-domain', 'near-domain', 'out-domain'] as const;

/** Captions with fewer images than this say nothing of CIDEr's rarity of words. */
const FEW_IMAGES = 1000;

/** @throws DatasetError for what the user can mend; Error when the API refuses */
export async function evaluateCaptions(
  dataset: 'coco' | 'nocaps',
  options: RunOptions,
): Promise<Report> {
  const { prompt = CAPTION_PROMPT } = options;
  const images = await readCaptionedImages(dataset, options.folder, (all) =>
    spread(all, options.limit),
  );
  const service = await options.start();
  const settings = CAPTION_SETTINGS[dataset];
  const { model, revision, precision } = await service.health();
  const decides = { model, revision, precision, prompt, settings };
  const { replies, path } = await openReplies(options, `${dataset}-captions`, decides, z.string());
  try {
    const pairs = await forEachItem(options, `${dataset} captions`, images, async (item) => ({
      item,
      candidate: ptbTokens(
        await replies.reply(item.id, () =>
          service.caption(item.image, prompt === 'none' ? null : prompt, settings),
        ),
      ),
      references: item.captions.map(ptbTokens),
    }));
    return reportOf(dataset, model, pairs, path);
  } finally {
    await replies.close();
  }
}

type Pair = CaptionPair & { item: CaptionedImage };

function reportOf(dataset: 'coco' | 'nocaps', model: string, pairs: Pair[], path: string): Report {
  const bleu = corpusBleu(pairs);
  const cider = mean(ciderD(pairs));
  const head = ['images', 'BLEU-1', 'BLEU-2', 'BLEU-3', 'BLEU-4', 'ROUGE-L', 'CIDEr-D'];
  const scores = [...bleu, mean(pairs.map(rougeL)), cider].map(percent);
  const own = [head, [String(pairs.length), ...scores]];
  const notes = [`Replies: ${path}`];
  if (pairs.length < FEW_IMAGES) {
    notes.push(
      'CIDEr-D weighs words by how rare they are in these images: of so few it is not comparable.',
    );
  }
  if (dataset === 'coco') {
    const columns = ['BLEU-4', 'CIDEr-D'];
    return { tables: [own, besidePaper(columns, model, [bleu[3]!, cider], COCO_CAPTIONS)], notes };
  }
  const byDomain = DOMAINS.map((domain) => {
    const chosen = pairs.filter(({ item }) => item.domain === domain);
    return chosen.length === 0 ? null : mean(ciderD(chosen));
  });
  if (byDomain.every((score) => score === null)) {
    notes.push('No image has a domain: put nocaps_val_image_info.json beside the captions.');
  }
  const columns = [...DOMAINS, 'overall'];
  return { tables: [own, besidePaper(columns, model, [...byDomain, cider], NOCAPS)], notes };
}
