/** What the command line names becomes lines of a job, in an order that does not change. */
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { itemLines, type NeededMember } from './sources.ts';

const PNG = Buffer.from('\x89PNG\r\n\x1a\n and the rest', 'latin1');

let folder: string;
let skipped: [string, string][];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sources-'));
  skipped = [];
});
afterEach(() => rm(folder, { recursive: true }));

const at = (...names: string[]) => join(folder, ...names);

async function read(sources: readonly string[], images: 'bytes' | 'hashes' = 'bytes') {
  const onSkip = (name: string, why: string) => skipped.push([name, why]);
  const lines = await Array.fromAsync(itemLines(sources, { onSkip, images }));
  return lines.map((line) => JSON.parse(line) as { id?: string; image: unknown });
}

describe('the lines of a job', () => {
  it('are the images of a folder by their paths, in order, without what is no image', async () => {
    await mkdir(at('b'));
    for (const name of ['c.png', 'b/x.png', 'b/ä.jpg', 'a.png']) await writeFile(at(name), PNG);
    await writeFile(at('notes.text'), 'text');
    await writeFile(at('.DS_Store'), PNG);
    await symlink(at('b'), at('again'));
    await symlink(at('a.png'), at('d.png'));
    const lines = await read([folder]);
    expect(lines.map(({ id }) => id)).toEqual(['a.png', 'b/x.png', 'b/ä.jpg', 'c.png', 'd.png']);
    // What it is, its bytes decide.
    expect(lines[2]?.image).toBe(`data:image/png;base64,${PNG.toString('base64')}`);
    expect(skipped).toEqual([]);
  });

  it('leave out what somebody meant and cannot be sent, and say why', async () => {
    await writeFile(at('note.text'), 'text');
    await writeFile(at('photo.tif'), 'II*\0 and more');
    await writeFile(at('large.png'), Buffer.concat([PNG, Buffer.alloc(7_000_000)]));
    expect(await read([folder, at('note.text')])).toEqual([]);
    expect(skipped.map(([name]) => name)).toEqual(
      ['large.png', 'photo.tif', 'note.text'].map((n) => at(n)),
    );
    expect(skipped[1]?.[1]).toContain('TIFF');
  });

  it('are those of a file, and of URLs', async () => {
    const long = `https://images.example.org/${'x'.repeat(300)}`;
    await writeFile(
      at('lines.jsonl'),
      `{"id": "a", "image": "b"}\r\n\n https://e.org/1.png \n${long}`,
    );
    expect(await read([at('lines.jsonl'), 'http://e.org/2.png'])).toEqual([
      { id: 'a', image: 'b' },
      { id: 'https://e.org/1.png', image: { url: 'https://e.org/1.png' } },
      { image: { url: long } },
      { id: 'http://e.org/2.png', image: { url: 'http://e.org/2.png' } },
    ]);
  });

  it('have hashes in place of bytes where nothing is to be run', async () => {
    await writeFile(at('a.png'), PNG);
    const [line] = await read([at('a.png')], 'hashes');
    expect(line?.image).toEqual({ sha256: expect.stringMatching(/^[0-9a-f]{64}$/) });
  });

  it.each(['{', '[]', 'a.png', '"https://e.org"'])('are none of %s', async (text) => {
    await writeFile(at('lines.txt'), `https://e.org/1.png\n${text}`);
    await expect(read([at('lines.txt')])).rejects.toThrow('lines.txt, line 2: a line is');
  });

  it('have of their own what is not said for all', async () => {
    await writeFile(at('a.png'), PNG);
    await writeFile(at('own.jsonl'), '{"image": "a", "question": "what?"}\n{"image": "b"}');
    const needing = async (needs: NeededMember, sources: string[]) =>
      await Array.fromAsync(itemLines(sources, { onSkip: () => {}, images: 'bytes', needs }));
    const words = 'there is no question. Give --question TEXT for all items.';
    const url = 'https://e.org/1.png';
    await expect(needing('question', [folder])).rejects.toThrow(`${at('a.png')}: ${words}`);
    await expect(needing('question', [url])).rejects.toThrow(`${url}: ${words}`);
    await expect(needing('question', [at('own.jsonl')])).rejects.toThrow(
      `own.jsonl, line 2: ${words}`,
    );
    await expect(needing('texts', [url])).rejects.toThrow('there are no texts');
    await writeFile(at('own.jsonl'), '{"image": "a", "question": "what?"}');
    expect(await needing('question', [at('own.jsonl')])).toHaveLength(1);
  });

  it('are none of what is not there', async () => {
    await expect(read([at('nowhere')])).rejects.toThrow(
      `There is no file or folder ${at('nowhere')}.`,
    );
    await expect(read([at('*.png')])).rejects.toThrow('There is no file or folder');
  });
});
