/** `npm run eval -- --dataset`: small data sets in the official formats, made of test scenes, through the whole chain. */
import { execFile } from 'node:child_process';
import { copyFile, mkdir, readdir, readFile, truncate, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type Chosen,
  chooseDataset,
  evaluateDataset,
} from '../../tools/eval/datasets/evaluate-dataset.ts';
import { Service } from '../../tools/eval/datasets/service.ts';
import { type Stack, startStack } from '../../tools/local-stack.ts';
import { readScenes, type Scene } from '../../tools/scenes.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const EVAL = new URL('../../tools/eval.ts', import.meta.url).pathname;
const SCENES = new URL('../scenes/', import.meta.url).pathname;
/** Captions of pairs are long enough for the least length that the authors ask for. */
const COUNT = 6;
/** The embedded model knows no "a photo of", and only the other template. */
const NO_PROMPT = 'none';
const TEMPLATE = 'Question: {} Answer:';

const folder = temporaryFolder();
let stack: Stack;
let scenes: Scene[];
let requests = 0;
beforeAll(async () => {
  const all = await readScenes();
  scenes = all
    .filter(({ layout, artist }) => layout === 'pair' && artist === 'noto')
    .slice(0, COUNT);
  stack = await startStack();
});
afterAll(() => stack?.stop());

/** A data set's folder: annotations as JSON, images of scenes by path. */
async function write(name: string, files: Record<string, unknown>, images: string[]) {
  const root = join(folder, name);
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), JSON.stringify(content));
  }
  for (const [i, path] of images.entries()) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await copyFile(join(SCENES, scenes[i % COUNT]!.file), join(root, path));
  }
  return root;
}

/** Counts what is asked of the API. */
class CountedService extends Service {
  override caption(...args: Parameters<Service['caption']>) {
    requests++;
    return super.caption(...args);
  }
}

function evaluate(asked: Parameters<typeof chooseDataset>[0], limit?: number) {
  const chosen = chooseDataset(asked) as Chosen;
  const line = { update: () => {}, clear: () => {} };
  const start = async () => new CountedService(stack.url);
  return evaluateDataset(chosen, { start, limit, concurrency: 3, line });
}

const cocoName = (i: number) => `COCO_val2014_${String(i + 1).padStart(12, '0')}.jpg`;

/** Karpathy's format, which COCO and Flickr30k share. */
const karpathy = (filepath?: string) => ({
  images: [
    ...scenes.map(({ caption }, i) => ({
      filename: cocoName(i),
      ...(filepath === undefined ? {} : { filepath, cocoid: i + 1 }),
      imgid: i,
      split: 'test',
      sentences: [
        { raw: `${caption}.`, tokens: [] },
        { raw: caption.toUpperCase(), tokens: [] },
      ],
    })),
    { filename: 'absent.jpg', imgid: 99, split: 'train', sentences: [{ raw: 'x', tokens: [] }] },
  ],
});

const cells = (table: string[][] | undefined, row: number) => table?.[row]?.slice(1);

describe('captions', () => {
  it('of COCO are compared with all references, and stand beside those of the paper', async () => {
    const files = { 'dataset_coco.json': karpathy('val2014') };
    const images = scenes.map((_, i) => `val2014/${cocoName(i)}`);
    const data = await write('coco', files, images);
    const report = await evaluate({ dataset: 'coco', data, prompt: NO_PROMPT });
    const [own, paper] = report.tables;
    expect(own?.[0]).toEqual([
      'images',
      'BLEU-1',
      'BLEU-2',
      'BLEU-3',
      'BLEU-4',
      'ROUGE-L',
      'CIDEr-D',
    ]);
    expect(own?.[1]?.[0]).toBe(String(COUNT));
    expect(Number(own?.[1]?.[4])).toBeGreaterThan(90);
    expect(Number(own?.[1]?.[6])).toBeGreaterThan(500);
    expect(paper?.map(([name]) => name)).toContain('BLIP-2 ViT-g OPT 2.7B');
    expect(cells(paper, 2)).toEqual(['43.7', '145.8']);
    expect(report.notes.join()).toContain('not comparable');
  });

  it('of nocaps have a CIDEr for each domain', async () => {
    const file = {
      images: scenes.map((_, i) => ({ id: i, file_name: `${i}.jpg`, open_images_id: `a${i}` })),
      annotations: scenes.flatMap(({ caption }, i) =>
        [caption, `${caption} .`].map((text, j) => ({ id: 2 * i + j, image_id: i, caption: text })),
      ),
    };
    const info = {
      images: scenes.map((_, i) => ({ id: i, domain: i < 3 ? 'in-domain' : 'out-domain' })),
    };
    const files = { 'nocaps_val_4500_captions.json': file, 'nocaps_val_image_info.json': info };
    const images = scenes.map((_, i) => `images/${i}.jpg`);
    const data = await write('nocaps', files, images);
    const { tables } = await evaluate({ dataset: 'nocaps', data, prompt: NO_PROMPT });
    const [inside, near, outside, overall] = cells(tables[1], 1)!;
    expect(near).toBe('–');
    for (const score of [inside, outside, overall]) expect(Number(score)).toBeGreaterThan(100);
  });

  it('go on where they were ended, and begin anew with another prompt', async () => {
    const files = { 'captions_val2014.json': cocoFile() };
    const images = scenes.map((_, i) => `val2014/${cocoName(i)}`);
    const data = await write('resumed', files, images);
    const replies = join(folder, 'replies');
    await mkdir(replies);
    const asked = { dataset: 'coco', data, replies, prompt: NO_PROMPT } as const;
    requests = 0;
    const first = await evaluate(asked);
    expect(requests).toBe(COUNT);
    const [file] = await readdir(replies);
    const path = join(replies, file!);
    const text = await readFile(path, 'utf8');
    // Ended in the middle of a line.
    await truncate(path, text.lastIndexOf('{') + 10);
    const second = await evaluate(asked);
    expect(requests).toBe(COUNT + 1);
    expect(second.tables).toEqual(first.tables);
    await evaluate({ ...asked, prompt: 'a' }, 2);
    expect(requests).toBe(COUNT + 3);
    expect(await readdir(replies)).toHaveLength(2);
  });
});

const cocoFile = () => ({
  images: scenes.map((_, i) => ({ id: i + 1, file_name: cocoName(i) })),
  annotations: scenes.map(({ caption }, i) => ({ id: i, image_id: i + 1, caption })),
});

/** The first questions of each scene in VQA's format, ten annotators who agree but for one. */
const vqa = () => {
  const asked = scenes.flatMap(({ questions }, i) =>
    questions
      .slice(0, 3)
      .map(({ question, answer }, j) => ({ id: 10 * i + j, i, question, answer })),
  );
  return {
    questions: asked.map(({ id, i, question }) => ({ question_id: id, image_id: i + 1, question })),
    annotations: asked.map(({ id, i, answer }) => ({
      question_id: id,
      image_id: i + 1,
      question_type: 'what',
      answer_type: answer === 'yes' || answer === 'no' ? 'yes/no' : 'other',
      multiple_choice_answer: answer,
      answers: Array.from({ length: 10 }, (_, k) => ({
        answer: k === 0 ? 'something else' : answer,
        answer_confidence: 'yes',
        answer_id: k + 1,
      })),
    })),
  };
};

describe('answers', () => {
  it.each([
    ['vqav2', 'v2_OpenEnded_mscoco_val2014_questions.json', 'v2_mscoco_val2014_annotations.json'],
    ['okvqa', 'OpenEnded_mscoco_val2014_questions.json', 'mscoco_val2014_annotations.json'],
  ] as const)(
    'of %s have VQA’s accuracy, by type',
    async (dataset, questionFile, annotationFile) => {
      const { questions, annotations } = vqa();
      const files = { [questionFile]: { questions }, [annotationFile]: { annotations } };
      const images = scenes.map((_, i) => `val2014/${cocoName(i)}`);
      const data = await write(dataset, files, images);
      const { tables } = await evaluate({ dataset, data });
      const [own, paper] = tables;
      expect(own?.map(([type]) => type)).toEqual(['answers', 'other', 'yes/no', '**all**']);
      expect(Number(own?.at(-1)?.[1])).toBeGreaterThan(90);
      expect(own?.at(-1)?.[2]).toBe(String(questions.length));
      expect(paper?.at(-1)?.[0]).toBe('BLIP-2 ViT-g FlanT5 XXL');
    },
  );

  it('of GQA are exact, and are asked by another template where there is one', async () => {
    const questions = Object.fromEntries(
      scenes.map(({ questions: [first] }, i) => [
        String(100 + i),
        {
          imageId: `n${i}`,
          question: first!.question,
          answer: first!.answer,
          types: { structural: 'query' },
        },
      ]),
    );
    const files = { 'testdev_balanced_questions.json': questions };
    const data = await write(
      'gqa',
      files,
      scenes.map((_, i) => `images/n${i}.jpg`),
    );
    const byRoute = await evaluate({ dataset: 'gqa', data });
    const byTemplate = await evaluate({ dataset: 'gqa', data, prompt: TEMPLATE });
    expect(byTemplate.tables).toEqual(byRoute.tables);
    expect(Number(byRoute.tables[0]?.at(-1)?.[1])).toBeGreaterThan(80);

    // By the command: the replies are stored already.
    const args = ['--url', stack.url, '--dataset', 'gqa', '--data', data];
    const { stdout } = await promisify(execFile)(process.execPath, [EVAL, ...args]);
    expect(stdout).toContain('| paper: Table 2, zero-shot, test-dev |');
    expect(stdout).toMatch(/\*\*blip2-scenes, here\*\* +\| \d/);
  });
});

describe('retrieval', () => {
  it.each(['coco', 'flickr30k'] as const)('on %s ranks in both directions', async (dataset) => {
    const below = dataset === 'coco' ? 'val2014' : 'flickr30k-images';
    const annotations = karpathy(dataset === 'coco' ? below : undefined);
    const files = { [`annotations/dataset_${dataset}.json`]: annotations };
    const images = scenes.map((_, i) => `${below}/${cocoName(i)}`);
    const data = await write(`retrieval-${dataset}`, files, images);
    const task = 'retrieval';
    const report = await evaluate({ dataset, data, task });
    const found = cells(report.tables[0], 1)?.map(Number);
    expect(found).toHaveLength(6);
    expect(Math.min(...found!)).toBeGreaterThan(80);
    const again = await evaluate({ dataset, data, task });
    expect(again.tables).toEqual(report.tables);
  });
});
