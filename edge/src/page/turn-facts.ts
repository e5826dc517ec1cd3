/** The small line below a reply: what of it was cached, and how long what took. */
import type { DoneEvent } from '@blip2/shared/schemas/events';

export type TurnFacts = {
  reply: Pick<DoneEvent, 'text' | 'cache' | 'usage' | 'warnings'>;
  /** Milliseconds in which the image was sent; null where it was not. */
  uploadMs: number | null;
  /** Milliseconds from the moment when all was sent. */
  firstTokenMs: number | null;
  totalMs: number;
  /** Earlier turns that were left out because the prompt was full. */
  leftOut: number;
};

export function factsLine({
  reply,
  uploadMs,
  firstTokenMs,
  totalMs,
  leftOut,
}: TurnFacts): HTMLElement {
  const line = document.createElement('p');
  line.className = 'facts';
  const { completion_tokens: tokens } = reply.usage;
  // Nothing was written now.
  const isReplay = reply.cache === 'reply';
  line.append(
    ...(reply.cache === undefined ? [] : [badgeOf(reply.cache)]),
    ...[
      uploadMs === null ? null : `upload ${duration(uploadMs)}`,
      firstTokenMs === null || isReplay ? null : `first token after ${duration(firstTokenMs)}`,
      `${tokens} ${tokens === 1 ? 'token' : 'tokens'}${isReplay ? ', written before,' : ''} in ${duration(totalMs)}`,
      leftOut === 0 ? null : `${leftOut} earlier ${leftOut === 1 ? 'turn' : 'turns'} left out`,
    ]
      .filter((text) => text !== null)
      .map(span),
  );
  return line;
}

function badgeOf(cache: string): HTMLElement {
  const badge = span(cache === 'miss' ? 'miss' : `hit · ${cache}`);
  badge.className = `badge ${cache === 'miss' ? 'miss' : 'hit'}`;
  badge.dataset.testid = 'cache';
  return badge;
}

function span(text: string): HTMLElement {
  const element = document.createElement('span');
  element.textContent = text;
  return element;
}

/** @example duration(1234) // '1.2 s' */
function duration(ms: number): string {
  return ms < 1000 ? `${ms.toFixed(0)} ms` : `${(ms / 1000).toFixed(1)} s`;
}
