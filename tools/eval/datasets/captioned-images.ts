/** Images with captions, from the annotation files of COCO, nocaps and Flickr30k. */
import { basename } from 'node:path';
import * as z from 'zod/mini';
import {
  type AnnotationFile,
  findAnnotation,
  locateImages,
  readAnnotation,
  requireAnnotation,
} from './dataset-files.ts';

/** An image and what people wrote of it. */
export type CaptionedImage = {
  id: string;
  /** Path of the file. */
  image: string;
  captions: string[];
  /** Of nocaps: how far it is from COCO. */
  domain: string | null;
};

export type CaptionDataset = 'coco' | 'nocaps' | 'flickr30k';

type Unlocated = Omit<CaptionedImage, 'image'> & { images: string[] };

/** Karpathy's splits, of COCO and Flickr30k. */
const Karpathy = z.object({
  images: z.array(
    z.object({
      filename: z.string(),
      filepath: z.optional(z.string()),
      split: z.string(),
      imgid: z.optional(z.number()),
      cocoid: z.optional(z.number()),
      sentences: z.array(z.object({ raw: z.string() })).check(z.minLength(1)),
    }),
  ),
});

/** COCO's own format, which nocaps shares. */
const CocoCaptions = z.object({
  images: z.array(
    z.object({
      id: z.number(),
      file_name: z.string(),
      domain: z.optional(z.string()),
      open_images_id: z.optional(z.string()),
    }),
  ),
  annotations: z.array(z.object({ image_id: z.number(), caption: z.string() })),
});

const ImageInfo = z.object({
  images: z.array(z.object({ id: z.number(), domain: z.optional(z.string()) })),
});

const SPLITS =
  'Karpathy’s splits, caption_datasets.zip of cs.stanford.edu/people/karpathy/deepimagesent';
const COCO_IMAGES = 'images.cocodataset.org/zips/val2014.zip';
const NOCAPS_INFO = { name: 'nocaps_val_image_info.json', source: 'nocaps.org/download' };

const FILES: Record<CaptionDataset, readonly AnnotationFile[]> = {
  coco: [
    { name: 'dataset_coco.json', source: SPLITS },
    {
      name: 'captions_val2014.json',
      source:
        'annotations_trainval2014.zip of cocodataset.org; all of its images, not Karpathy’s split',
    },
  ],
  nocaps: [{ name: 'nocaps_val_4500_captions.json', source: 'nocaps.org/download' }],
  flickr30k: [{ name: 'dataset_flickr30k.json', source: SPLITS }],
};

const LAYOUTS: Record<CaptionDataset, string> = {
  coco: `  dataset_coco.json, or captions_val2014.json
  val2014/COCO_val2014_….jpg                (${COCO_IMAGES})`,
  nocaps: `  nocaps_val_4500_captions.json
  nocaps_val_image_info.json                (has the domains, where the captions do not)
  images/….jpg                              (by the names in file_name; addresses are in coco_url)`,
  flickr30k: `  dataset_flickr30k.json
  flickr30k-images/….jpg                    (shannon.cs.illinois.edu/DenotationGraph)`,
};

/** @throws DatasetError that says what is missing, where to get it and where to put it */
export async function readCaptionedImages(
  dataset: CaptionDataset,
  folder: string,
  choose: (all: readonly Unlocated[]) => readonly Unlocated[],
): Promise<CaptionedImage[]> {
  const layout = LAYOUTS[dataset];
  const path = await requireAnnotation(folder, FILES[dataset], layout);
  const all = basename(path).startsWith('dataset_')
    ? await readKarpathy(path)
    : await readCoco(path, folder);
  return locateImages(folder, choose(all), layout);
}

async function readKarpathy(path: string): Promise<Unlocated[]> {
  const { images } = await readAnnotation(path, Karpathy);
  return images
    .filter(({ split }) => split === 'test')
    .map(({ filename, filepath, cocoid, imgid, sentences }) => ({
      id: String(cocoid ?? imgid ?? filename),
      images: placesOf(filename, filepath),
      captions: sentences.map(({ raw }) => raw),
      domain: null,
    }));
}

async function readCoco(path: string, folder: string): Promise<Unlocated[]> {
  const { images, annotations } = await readAnnotation(path, CocoCaptions);
  const captions = Map.groupBy(annotations, ({ image_id }) => image_id);
  const domains = await readDomains(folder);
  return images
    .map(({ id, file_name, domain }) => ({
      id: String(id),
      images: placesOf(file_name),
      captions: captions.get(id)?.map(({ caption }) => caption) ?? [],
      domain: domain ?? domains.get(id) ?? null,
    }))
    .filter((image) => image.captions.length > 0);
}

async function readDomains(folder: string): Promise<Map<number, string | undefined>> {
  const path = await findAnnotation(folder, [NOCAPS_INFO]);
  if (path === null) return new Map();
  const { images } = await readAnnotation(path, ImageInfo);
  return new Map(images.map(({ id, domain }) => [id, domain]));
}

/** Where a file of this name may be, as the distributions unpack. */
function placesOf(name: string, below = 'images'): string[] {
  const folders = new Set([below, 'val2014', 'images', 'images/val2014', 'flickr30k-images']);
  return [...[...folders].map((folder) => `${folder}/${name}`), name];
}
