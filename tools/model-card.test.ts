/** What is said of a model in a few words comes from its card. */
import { spawnSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseModelCard, readModelCard } from './model-card.ts';
import { ROOT } from './prepare-edge.ts';

describe('a model card', () => {
  it('of the embedded model says what it knows, and what of photos', async () => {
    const card = await readModelCard(join(ROOT, 'gpu-worker/checkpoints/generate'));
    expect(card).toMatchObject({
      summary: 'knows emoji scenes only',
      description: expect.stringContaining('142 things'),
      caution: expect.stringContaining('about photos it guesses'),
    });
  });

  it('that is a pipe keeps nobody waiting', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'blip2-card-'));
    spawnSync('mkfifo', [join(folder, 'README.md')]);
    expect(await readModelCard(folder)).toEqual({});
    await rm(folder, { recursive: true });
  });

  it.each<[string, string, object]>([
    ['that is missing', '', {}],
    [
      'without front matter',
      '# Cats\n\nA model of cats.\n\nMore.',
      { description: 'A model of cats.' },
    ],
    [
      'as hubs have them',
      '---\nlicense: mit\n---\n\n# Cats, small\n\n![logo](a.png) <img src="b.png">\n\n`Cats` is a *small* model, leveraging\n[OPT](https://x.example/opt) (a language model).\n\n## Use\n',
      { description: 'Cats is a small model, leveraging OPT (a language model).' },
    ],
    [
      'with quotes and line breaks of Windows',
      '---\r\nsummary: "knows cats"\r\ncaution: \'no dogs\'\r\n---\r\n\r\n# Cats\r\n\r\nA model.\r\n',
      { summary: 'knows cats', caution: 'no dogs', description: 'A model.' },
    ],
    [
      'of a template that nobody filled in',
      '# Model Card for Model ID\n\n<!-- Provide a quick summary. -->\n\n[More Information Needed]\n',
      {},
    ],
    [
      'with control characters, which a terminal would obey',
      '---\nsummary: knows \u001b[2Jcats\n---\n',
      { summary: 'knows [2Jcats' },
    ],
  ])('%s', (_name, text, card) => {
    expect(parseModelCard(text)).toEqual(card);
  });

  it('that is long gives its first sentences', () => {
    const { description = '' } = parseModelCard(`One of v1.5 cats. Two. ${'word '.repeat(100)}.`);
    expect(description).toBe('One of v1.5 cats. Two.');
    expect(parseModelCard('word '.repeat(100)).description).toMatch(/word …$/);
  });

  it('is not there for a folder without one', async () => {
    expect(await readModelCard(join(ROOT, 'tools'))).toEqual({});
  });
});
