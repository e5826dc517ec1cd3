/** Retrieval on COCO and Flickr30k: ITC's best candidates, ranked again by ITM, in both directions. */
import { createHash } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import { MAX_TEXTS } from '@blip2/shared/wire';
import * as z from 'zod/mini';
import { RECALL_AT, rankOf, recalls } from '../metrics/recall.ts';
import { readCaptionedImages } from './captioned-images.ts';
import { RETRIEVAL } from './published-results.ts';
import { ITM_CANDIDATES, plainCaption } from './published-settings.ts';
import {
  besidePaper,
  forEachItem,
  openReplies,
  type Report,
  type RunOptions,
  spread,
} from './run.ts';
import { decodeFloats, encodeFloats, largest, Similarities } from './similarities.ts';

const PROBE = 'a dog sitting on a bench';

/** @throws DatasetError for what the user can mend; Error when the API refuses, or has no retrieval model */
export async function evaluateRetrieval(
  dataset: 'coco' | 'flickr30k',
  options: RunOptions,
): Promise<Report> {
  const images = await readCaptionedImages(dataset, options.folder, (all) =>
    spread(all, options.limit),
  );
  const texts = images.flatMap(({ captions }, image) =>
    captions.map((caption) => ({ text: plainCaption(caption), image })),
  );
  const service = await options.start();
  // Ends here where there is no retrieval model. Nothing in replies names its revision; the signs of a vector do.
  const { model, embeddings } = await service.embedTexts([PROBE]);
  const decides = { model, probe: embeddings[0]!.map((value) => value > 0) };
  const itc = await openReplies(options, `${dataset}-itc`, decides, z.string());
  const itm = await openReplies(options, `${dataset}-itm`, decides, z.array(z.number()));
  try {
    const imageVectors = await forEachItem(options, `${dataset} images`, images, async (item) =>
      decodeFloats(
        await itc.replies.reply(`image ${item.id}`, async () =>
          encodeFloats(await service.embedImage(item.image)),
        ),
      ),
    );
    const batches = batchesOf(texts.map(({ text }) => text));
    const textVectors = await forEachItem(options, `${dataset} texts`, batches, async (batch) =>
      decodeFloats(
        await itc.replies.reply(`texts ${digestOf(batch)}`, async () =>
          encodeFloats((await service.embedTexts(batch)).embeddings),
        ),
      ),
    );
    const similarities = new Similarities(images.length, textVectors, texts.length);
    const places = [...images.keys()];
    await forEachItem(options, `${dataset} similarities`, places, async (place) => {
      similarities.fill(place, imageVectors[place]!);
      // The status line and signals have their turn.
      await setImmediate();
    });

    const textsOf = images.map((_, i) => largest(similarities.ofImage(i), ITM_CANDIDATES));
    const imagesOf = texts.map((_, j) => largest(similarities.ofText(j), ITM_CANDIDATES));
    const compared = textsOf.map((chosen) => new Set(chosen));
    for (const [text, chosen] of imagesOf.entries()) {
      for (const image of chosen) compared[image]!.add(text);
    }
    const requests = compared.flatMap((chosen, image) =>
      batchesOf([...chosen].toSorted((a, b) => a - b)).map((batch) => ({ image, batch })),
    );
    const scores = images.map(() => new Map<number, number>());
    await forEachItem(options, `${dataset} pairs`, requests, async ({ image, batch }) => {
      const sent = batch.map((text) => texts[text]!.text);
      const { id, image: path } = images[image]!;
      const ask = () => service.match(path, sent);
      const probabilities = await itm.replies.reply(`${id} ${digestOf(sent)}`, ask);
      for (const [i, text] of batch.entries()) {
        scores[image]!.set(text, scoreOf(probabilities[i]!, similarities.at(image, text)));
      }
    });

    const own = Map.groupBy(texts.keys(), (text) => texts[text]!.image);
    const textRanks = images.map((_, i) => {
      const candidates = new Map(textsOf[i]!.map((text) => [text, scores[i]!.get(text)!]));
      return rankOf(candidates, own.get(i) ?? []);
    });
    const imageRanks = texts.map(({ image }, j) => {
      const candidates = new Map(imagesOf[j]!.map((i) => [i, scores[i]!.get(j)!]));
      return rankOf(candidates, [image]);
    });
    const columns = ['texts of an image', 'images of a text'].flatMap((of) =>
      RECALL_AT.map((k) => `${of}, R@${k}`),
    );
    const found = [...recalls(textRanks), ...recalls(imageRanks)];
    return {
      tables: [besidePaper(columns, model, found, RETRIEVAL[dataset])],
      notes: [
        `${images.length} images, ${texts.length} texts; ITM ranked ITC's best ${Math.min(ITM_CANDIDATES, images.length)} images and ${Math.min(ITM_CANDIDATES, texts.length)} texts.`,
        `Replies: ${itc.path}, ${itm.path}`,
      ],
    };
  } finally {
    await itc.replies.close();
    await itm.replies.close();
  }
}

/** A probability of 1 or 0 is one that no float holds. */
const LEAST = 1e-9;

/**
 * The authors add ITM's logit for "match" and ITC's similarity. Of a head with two classes whose logits are about
 * opposite, that logit is half of the log odds, which is what the API's probability tells.
 */
function scoreOf(probability: number, similarity: number): number {
  const within = Math.min(1 - LEAST, Math.max(LEAST, probability));
  return Math.log(within / (1 - within)) / 2 + similarity;
}

function batchesOf<T>(items: readonly T[]): T[][] {
  const count = Math.ceil(items.length / MAX_TEXTS);
  return Array.from({ length: count }, (_, i) => items.slice(i * MAX_TEXTS, (i + 1) * MAX_TEXTS));
}

function digestOf(texts: readonly string[]): string {
  return createHash('sha256').update(JSON.stringify(texts)).digest('hex').slice(0, 24);
}
