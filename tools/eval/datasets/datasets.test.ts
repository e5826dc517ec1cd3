/** What is wrong with a data set's folder or with the options is said before anything is started. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as z from 'zod/mini';
import type { Dataset } from '../../programs/evaluation.ts';
import { chooseDataset, evaluateDataset } from './evaluate-dataset.ts';
import { plainCaption, plainQuestion } from './published-settings.ts';
import { Replies } from './replies.ts';
import { progressText, spread } from './run.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'blip2-datasets-'));
});
afterAll(() => rm(folder, { recursive: true }));

async function evaluate(dataset: Dataset, data: string) {
  const line = { update: () => {}, clear: () => {} };
  const start = () => Promise.reject(new Error('started'));
  return evaluateDataset(chooseDataset({ dataset, data })!, { start, concurrency: 1, line });
}

async function filled(name: string, files: Record<string, string>): Promise<string> {
  const path = join(folder, name);
  await mkdir(path);
  for (const [file, content] of Object.entries(files)) await writeFile(join(path, file), content);
  return path;
}

describe('a folder that lacks something', () => {
  it.each<[Dataset, string, string]>([
    ['coco', 'dataset_coco.json', 'images.cocodataset.org'],
    ['nocaps', 'nocaps_val_4500_captions.json', 'nocaps.org'],
    ['vqav2', 'v2_OpenEnded_mscoco_val2014_questions.json', 'visualqa.org'],
    ['okvqa', 'OpenEnded_mscoco_val2014_questions.json', 'okvqa.allenai.org'],
    ['gqa', 'testdev_balanced_questions.json', 'cs.stanford.edu'],
    ['flickr30k', 'dataset_flickr30k.json', 'cs.stanford.edu'],
  ])('of %s reads which file, where to get it, and the layout', async (dataset, file, source) => {
    const failure = evaluate(dataset, join(folder, 'none'));
    await expect(failure).rejects.toThrow(file);
    await expect(failure).rejects.toThrow(source);
    await expect(failure).rejects.toThrow('Expected in the folder:');
  });

  it('reads which images, and how many', async () => {
    const image = (i: number) => ({
      filename: `${i}.jpg`,
      filepath: 'val2014',
      split: 'test',
      sentences: [{ raw: 'a dog' }],
    });
    const annotations = JSON.stringify({ images: [image(1), image(2)] });
    const path = await filled('no-images', { 'dataset_coco.json': annotations });
    await expect(evaluate('coco', path)).rejects.toThrow(
      /^2 of 2 images are not in .*; the first would be at val2014\/1\.jpg/,
    );
  });

  it('cannot have images outside of it', async () => {
    await writeFile(join(folder, 'secret'), '');
    const annotations = {
      images: [{ id: 1, file_name: '../secret' }],
      annotations: [{ image_id: 1, caption: 'a' }],
    };
    const path = await filled('outside', {
      'nocaps_val_4500_captions.json': JSON.stringify(annotations),
    });
    await expect(evaluate('nocaps', path)).rejects.toThrow('1 of 1 images are not in');
  });

  it.each([
    ['{', 'cannot be read as JSON'],
    ['{"images": [{"filename": 1}]}', 'is not in the official format: images.0.filename'],
  ])('reads what is wrong with annotations: %s', async (content, message) => {
    const path = await filled(`broken-${content.length}`, { 'dataset_flickr30k.json': content });
    await expect(evaluate('flickr30k', path)).rejects.toThrow(message);
  });
});

describe('options', () => {
  it('of public data sets say what they lack', () => {
    expect(chooseDataset({})).toBeNull();
    expect(chooseDataset({ dataset: 'coco', data: '/d' })).toMatchObject({ task: 'captions' });
    expect(chooseDataset({ dataset: 'flickr30k', data: '/d', replies: '/r' })).toMatchObject({
      task: 'retrieval',
      repliesFolder: '/r',
    });
  });

  it.each<[Parameters<typeof chooseDataset>[0], string]>([
    [{ data: 'd' }, '--data is for public data sets: name one with --dataset.'],
    [{ dataset: 'gqa' }, '--dataset gqa needs the folder that holds it: --data FOLDER.'],
    [{ dataset: 'gqa', data: 'd', task: 'captions' }, '--task captions is not for gqa'],
    [{ dataset: 'flickr30k', data: 'd', prompt: 'x' }, '--prompt changes nothing'],
    [{ dataset: 'coco', data: 'd', failures: true }, '--failures is for the test scenes'],
    [{ dataset: 'coco', data: 'd', precisions: ['int8'] }, '--precision is for the test scenes'],
  ])('that do not go together are refused: %o', (asked, message) => {
    expect(() => chooseDataset(asked)).toThrow(message);
  });

  it('refuse a template without a place for the question', async () => {
    const chosen = chooseDataset({ dataset: 'gqa', data: folder, prompt: 'Answer:' })!;
    const line = { update: () => {}, clear: () => {} };
    const start = () => Promise.reject(new Error('started'));
    await expect(evaluateDataset(chosen, { start, concurrency: 1, line })).rejects.toThrow(
      '--prompt must have {}',
    );
  });
});

describe('stored replies', () => {
  it('are not asked for again, whatever was under way at the same time', async () => {
    const path = join(folder, 'replies.jsonl');
    const first = await Replies.open(path, z.string());
    const ids = ['a', 'b', 'c', 'd'];
    await Promise.all(ids.map((id) => first.reply(id, async () => `reply ${id}\nof two lines`)));
    await first.close();
    const second = await Replies.open(path, z.string());
    const never = () => Promise.reject(new Error('asked again'));
    for (const id of ids) expect(await second.reply(id, never)).toBe(`reply ${id}\nof two lines`);
    await second.close();
  });

  it('of another form are refused by line', async () => {
    const path = join(folder, 'strange.jsonl');
    await writeFile(path, '{"id":"a","value":"x"}\n{"id":"b","value":3}\n');
    await expect(Replies.open(path, z.string())).rejects.toThrow(/^Line 2 of /);
  });

  it('cannot be stored where there is no folder', async () => {
    const path = join(folder, 'none', 'replies.jsonl');
    await expect(Replies.open(path, z.string())).rejects.toThrow('--replies');
  });
});

it('spreads a limit over all', () => {
  expect(spread([0, 1, 2, 3, 4, 5], 3)).toEqual([0, 2, 4]);
  expect(spread([0, 1], 9)).toEqual([0, 1]);
});

it('shows how far it is', () => {
  expect(progressText('captions', 5, 10, 60_000)).toBe(
    'captions ██████████░░░░░░░░░░ 50 %, 5 of 10, 1 min left',
  );
});

it('writes questions and captions as the authors do', () => {
  expect(plainQuestion('What is "this"? (A dog.)  ')).toBe('what is this? a dog');
  expect(plainCaption('A dog: red; big.\n')).toBe('a dog red big');
  expect(plainCaption(Array(60).fill('a').join(' ')).split(' ')).toHaveLength(50);
});
