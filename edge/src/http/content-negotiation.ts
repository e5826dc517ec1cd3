/** Content negotiation (RFC 9110, 12.5.1). */

/**
 * The offer that the client prefers; earlier offers win a tie. Null when it accepts none of them.
 * @param accept value of `Accept`; absent or empty accepts anything
 * @example negotiate('text/html, image/*;q=0.5', ['image/png', 'text/plain']) // 'image/png'
 */
export function negotiate<Offer extends string>(
  accept: string | null | undefined,
  offers: readonly Offer[],
): Offer | null {
  if (!accept?.trim()) return offers[0] ?? null;
  const ranges = accept.split(',').map(parseRange);
  let best: { offer: Offer; quality: number } | null = null;
  for (const offer of offers) {
    const quality = qualityOf(offer, ranges);
    if (quality > (best?.quality ?? 0)) best = { offer, quality };
  }
  return best?.offer ?? null;
}

type Range = { type: string; quality: number };

function parseRange(text: string): Range {
  const [type = '', ...parameters] = text.split(';').map((part) => part.trim().toLowerCase());
  const quality = parameters.find((parameter) => parameter.startsWith('q='));
  const value = quality === undefined ? 1 : Number(quality.slice(2));
  return { type, quality: Number.isFinite(value) ? value : 0 };
}

/** The most specific range that matches decides. */
function qualityOf(offer: string, ranges: readonly Range[]): number {
  const family = `${offer.split('/', 1)[0]}/*`;
  for (const type of [offer, family, '*/*']) {
    const range = ranges.find((candidate) => candidate.type === type);
    if (range) return range.quality;
  }
  return 0;
}

/** True when `If-None-Match` names the tag (weak comparison) or is `*`. */
export function matchesTag(header: string | null | undefined, tag: string): boolean {
  return (header ?? '')
    .split(',')
    .map((part) => part.trim().replace(/^W\//, ''))
    .some((part) => part === tag || part === '*');
}
