/** Documents are up to date: paths, npm commands and links of every page exist. */
import { existsSync, globSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const read = (path: string) => readFileSync(join(ROOT, path), 'utf8');

const PAGES = globSync(
  ['*.md', 'docs/**/*.md', '{infra,training}/*.md', 'gpu-worker/src/**/*.md'],
  {
    cwd: ROOT,
    exclude: (path) => path.includes('node_modules'),
  },
).filter((page) => page !== 'CHANGELOG.md');
const TOP = '(?:shared|edge|gpu-worker|infra|tools|training|test|docs|\\.ci)/';
/** Paths that a page names although they are generated, or only patterns. */
const MADE = /^(edge\/generated|gpu-worker\/checkpoints)|[<>*{}…]/;

/** Paths in back-ticks, without a line number or an anchor behind them. */
function pathsIn(text: string): string[] {
  const found = text.matchAll(new RegExp(`\`(${TOP}[^\`\\s]*)\``, 'g'));
  return [...found].map(([, path = '']) => path).filter((path) => !MADE.test(path));
}

function linksIn(text: string): string[] {
  const found = text.matchAll(/\]\((?!https?:|mailto:|#)([^)#\s]+)[^)]*\)/g);
  return [...found].map(([, path = '']) => path);
}

/** Links to a heading: the page, '' for that of the link, and the anchor. */
function anchorsIn(text: string): [path: string, anchor: string][] {
  const found = text.matchAll(/\]\((?!https?:|mailto:)([^)#\s]*)#([^)\s]+)\)/g);
  return [...found].map(([, path = '', anchor = '']) => [path, anchor]);
}

/** Anchors of a page's headings, as GitHub makes them. */
function headingsIn(text: string): Set<string> {
  const headings = text.replaceAll(/^```.*?^```/gms, '').matchAll(/^#+ (.+)$/gm);
  const seen = new Map<string, number>();
  const anchors = [...headings].map(([, heading = '']) => {
    const words = heading
      .replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1')
      .trim()
      .toLowerCase();
    const anchor = words.replaceAll(/[^\p{L}\p{N}\p{M}_ -]/gu, '').replaceAll(' ', '-');
    const before = seen.get(anchor) ?? 0;
    seen.set(anchor, before + 1);
    return before === 0 ? anchor : `${anchor}-${before}`;
  });
  return new Set(anchors);
}

it('anchors are those of GitHub', () => {
  const text = '# `npm run x`: a [link](#y), 2\n```\n# no heading\n```\n## Twice\n## Twice\n';
  expect([...headingsIn(text)]).toEqual(['npm-run-x-a-link-2', 'twice', 'twice-1']);
});

describe.each(PAGES)('%s', (page) => {
  const text = read(page);

  it('names paths that exist', () => {
    expect(pathsIn(text).filter((path) => !existsSync(join(ROOT, path)))).toEqual([]);
  });

  it('links to pages that exist', () => {
    const broken = linksIn(text).filter((path) => !existsSync(join(ROOT, dirname(page), path)));
    expect(broken).toEqual([]);
  });

  it('links to headings that exist', () => {
    const broken = anchorsIn(text).filter(([path, anchor]) => {
      const target = path === '' ? page : join(dirname(page), path);
      // That there is such a page is tested above.
      const isPage = target.endsWith('.md') && existsSync(join(ROOT, target));
      return isPage && !headingsIn(read(target)).has(anchor);
    });
    expect(broken).toEqual([]);
  });

  it('names npm commands that exist', () => {
    const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
    const named = [...text.matchAll(/\bnpm run (?:-s )?([\w:-]+)(?![\w:-]| -w)/g)].map(
      ([, name = '']) => name,
    );
    expect(named.filter((name) => scripts[name] === undefined)).toEqual([]);
  });
});

it('the README has at most 150 lines', () => {
  expect(read('README.md').trimEnd().split('\n').length).toBeLessThanOrEqual(150);
});

it('the glossary has at most 30 words', () => {
  const rows = read('docs/glossary.md')
    .split('\n')
    .filter((line) => /^\| (?!word|---)/.test(line));
  expect(rows.length).toBeGreaterThan(15);
  expect(rows.length).toBeLessThanOrEqual(30);
});

it('comments cite only documents that are in the repository', () => {
  const sources = globSync(
    '{shared,edge,gpu-worker,tools,test,training,infra}/**/*.{ts,mjs,js,py}',
    {
      cwd: ROOT,
      exclude: (path) => /node_modules|generated|\.cache|\.venv/.test(path),
    },
  ).filter((path) => statSync(join(ROOT, path)).isFile());
  const missing = sources.flatMap((source) =>
    [...read(source).matchAll(/[\w./-]*\b[\w-]+\.md\b/g)]
      .map(([path]) => path)
      .filter((path) => !KNOWN_NAMES.has(path.split('/').at(-1) ?? ''))
      .map((path) => `${source}: ${path}`),
  );
  expect(missing).toEqual([]);
});

/** Names of the pages of the repository. */
const KNOWN_NAMES = new Set([...PAGES, 'CHANGELOG.md'].map((page) => page.split('/').at(-1) ?? ''));
