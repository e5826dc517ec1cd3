/** What the model card of a checkpoint says in a few words of its model. */
import { join } from 'node:path';
import { readText } from '@blip2/gpu-worker/regular-file';
import type { ModelCard } from '@blip2/shared/edge-model';

const MAX_DESCRIPTION = 240;

/** @param checkpoint folder */
export async function readModelCard(checkpoint: string): Promise<ModelCard> {
  return parseModelCard(await readText(join(checkpoint, 'README.md')).catch(() => ''));
}

/**
 * The members of that name in the front matter; without a description, the beginning of the card's first paragraph.
 * @example parseModelCard('---\nsummary: knows cats\n---\n# Cats\n\nA *small* model.')
 *   // { summary: 'knows cats', description: 'A small model.' }
 */
export function parseModelCard(text: string): ModelCard {
  const [whole = '', frontMatter = ''] = /^---\r?\n(.*?)\r?\n---[^\S\n]*$/ms.exec(text) ?? [];
  const field = (name: string) => {
    const [, value] = new RegExp(`^${name}:[^\\S\\n]*(.+)$`, 'm').exec(frontMatter) ?? [];
    return printable(value?.trim().replace(/^(["'])(.*)\1$/, '$2') ?? '');
  };
  const card = {
    summary: field('summary'),
    description: field('description') || firstSentences(text.replace(whole, '')),
    caution: field('caution'),
  };
  return Object.fromEntries(Object.entries(card).filter(([, value]) => value !== ''));
}

/** The first sentences of the first paragraph that is plain text. */
function firstSentences(markdown: string): string {
  const paragraph = markdown
    .replaceAll(/<!--.*?-->/gs, '')
    .replaceAll(/^```.*?^```/gms, '')
    .split(/\r?\n\s*\r?\n/)
    .map((block) => block.replaceAll(/^#+ .*$/gm, ''))
    .map((block) => block.replaceAll(/!\[[^\]]*\]\([^)]*\)/g, ''))
    .map((block) => block.replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1'))
    .map((block) => printable(block.replaceAll(/<[^>]*>|[*`]/g, '')))
    .find((block) => /^[\p{L}\p{N}]/u.test(block) && !/more information needed/i.test(block));
  if (paragraph === undefined || paragraph.length <= MAX_DESCRIPTION) return paragraph ?? '';
  const cut = paragraph.slice(0, MAX_DESCRIPTION);
  const [sentences] = /^.*[.!?](?=\s)/.exec(cut) ?? [];
  return sentences ?? `${cut.replace(/\s+\S*$/, '')} …`;
}

/** In one line, for a terminal and a page. */
function printable(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}\s]+/gu, ' ').trim();
}
