/** How many images the API warns about: of a folder of foreign ones, and of the test scenes, which are not foreign. */
import { readdir, readFile } from 'node:fs/promises';
import { basename, extname, join, relative } from 'node:path';
import { Readable } from 'node:stream';
import { CaptionReply } from '@blip2/shared/schemas/captions';
import { expectOk } from '../api.ts';
import { ROOT } from '../prepare-edge.ts';
import { readScenes } from '../scenes.ts';
import { spread } from './datasets/run.ts';

/** An image, the row of the table that it counts in, and whether a warning is right. */
type Shown = { path: string; group: string; isForeign: boolean };
/** `caption` of what was judged wrong. */
export type Judged = Shown & { isWarned: boolean; caption: string };

const FORMATS = new Set(['.jpg', '.jpeg', '.png', '.webp', '.gif', '.avif']);

/**
 * Every image of the folder, by its first folder below it, and every test scene, by its artist.
 * @param limit at most so many foreign images, spread over all
 * @throws Error where the folder has no images
 */
export async function judgeImages(
  url: string,
  { folder, limit }: { folder: string; limit: number | undefined },
  onDone: (finished: number, total: number) => void,
): Promise<Judged[]> {
  const foreign = spread(await imagesOf(folder), limit);
  if (foreign.length === 0)
    throw new Error(`${folder} has no images: JPEG, PNG, WebP, GIF or AVIF.`);
  const scenes = await Promise.all(
    (['known', 'validation'] as const).map((set) => readScenes(set)),
  );
  const shown = [
    ...foreign,
    ...scenes.flat().map(({ file, artist }) => ({
      path: join(ROOT, 'test/scenes', file),
      group: `scenes by ${artist}`,
      isForeign: false,
    })),
  ];
  return await judgeAll(url, shown, onDone);
}

/** Whether the API warns about each of these images, a few at a time. */
export async function judgeAll(
  url: string,
  shown: readonly Shown[],
  onDone: (finished: number, total: number) => void = () => {},
): Promise<Judged[]> {
  let finished = 0;
  return await Readable.from(shown)
    .map(
      async (image: Shown) => {
        const judged = await judge(url, image);
        onDone(++finished, shown.length);
        return judged;
      },
      { concurrency: 4 },
    )
    .toArray();
}

/** The images of a folder and of those in it. */
export async function imagesOf(folder: string): Promise<Shown[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile() && FORMATS.has(extname(entry.name).toLowerCase()))
    .map(({ parentPath, name }) => {
      const path = join(parentPath, name);
      const [first = '', ...rest] = relative(folder, path).split(/[/\\]/);
      return { path, group: rest.length === 0 ? basename(folder) : first, isForeign: true };
    })
    .toSorted((a, b) => (a.path < b.path ? -1 : 1));
}

async function judge(url: string, image: Shown): Promise<Judged> {
  const response = await fetch(`${url}/v1/captions`, {
    method: 'POST',
    headers: { 'content-type': 'application/octet-stream', 'cache-control': 'no-cache' },
    body: await readFile(image.path),
  });
  const { caption, warnings = [] } = CaptionReply.parse(await (await expectOk(response)).json());
  return { ...image, caption, isWarned: warnings.some(({ type }) => type === 'outside-training') };
}

/** A row for each group, and for all foreign images and all scenes. */
export function warningTable(judged: readonly Judged[]): string[][] {
  const row = (name: string, rows: readonly Judged[]) => {
    const warned = rows.filter(({ isWarned }) => isWarned).length;
    return [name, String(rows.length), `${((100 * warned) / rows.length).toFixed(1)} %`];
  };
  const rows = [true, false].flatMap((wanted) => {
    const part = judged.filter(({ isForeign }) => isForeign === wanted);
    const groups = [...Map.groupBy(part, ({ group }) => group)];
    const all = row(wanted ? '**all foreign images**' : '**all scenes**', part);
    return [...groups.map(([name, group]) => row(name, group)), all];
  });
  return [['images', 'n', 'warned about'], ...rows];
}

/** A line for each image that was judged wrong. */
export function wronglyJudged(judged: readonly Judged[]): string[] {
  return judged
    .filter(({ isForeign, isWarned }) => isForeign !== isWarned)
    .map(
      ({ path, isWarned, caption }) =>
        `${path}  ${isWarned ? 'warned' : 'not warned'}  "${caption}"`,
    );
}
