/** Content negotiation (RFC 9110, 12.5.1). */
import { ApiError } from '@blip2/shared/errors';
import { parseHeaderValue, splitUnquoted } from './header-value.ts';

/**
 * The offer that the client prefers; earlier offers win a tie. Null when it accepts none of them. Who only says what is
 * not acceptable accepts the rest.
 * @param accept value of `Accept`; absent or empty accepts anything
 * @example negotiate('text/html, image/*;q=0.5', ['image/png', 'text/plain']) // 'image/png'
 */
export function negotiate<Offer extends string>(
  accept: string | null | undefined,
  offers: readonly Offer[],
): Offer | null {
  const ranges = splitUnquoted(accept ?? '', ',', MOST_RANGES)
    .filter((range) => range.trim() !== '')
    .map(parseRange);
  const refusesAll = ranges.some(({ type }) => type === '*/*');
  if (!refusesAll && ranges.every(({ quality }) => quality === 0)) ranges.push(ANYTHING_ELSE);
  let best: { offer: Offer; quality: number } | null = null;
  for (const offer of offers) {
    const quality = qualityOf(offer, ranges);
    if (quality > (best?.quality ?? 0)) best = { offer, quality };
  }
  return best?.offer ?? null;
}

/**
 * @param descriptions of offers that need one, for the message
 * @throws ApiError `not-acceptable`, which names all offers
 */
export function negotiateOrRefuse<Offer extends string>(
  accept: string | null | undefined,
  offers: readonly Offer[],
  descriptions: Partial<Record<Offer, string>> = {},
): Offer {
  const offer = negotiate(accept, offers);
  if (offer !== null) return offer;
  const list = offers.map((type) => descriptions[type] ?? type).join(', ');
  throw new ApiError('not-acceptable', `Accept allows none of what is offered here: ${list}.`);
}

/** No client asks for so many: the rest of them is passed over. */
const MOST_RANGES = 64;
const MOST_TAGS = 64;

const ANYTHING_ELSE: Range = { type: '*/*', hasParameters: false, quality: 1 };

type Range = { type: string; hasParameters: boolean; quality: number };

function parseRange(text: string): Range {
  const { value, parameters } = parseHeaderValue(text);
  const weight = Number(parameters.get('q') ?? 1);
  const others = [...parameters.keys()].filter((name) => name !== 'q' && name !== 'charset');
  return {
    // Old Java clients send `*` alone.
    type: value === '*' ? '*/*' : value,
    hasParameters: others.length > 0,
    quality: Number.isFinite(weight) ? Math.min(Math.max(weight, 0), 1) : 0,
  };
}

/**
 * The most specific range that matches decides. One with parameters, which no offer has, still matches, but counts less
 * than the bare type.
 */
function qualityOf(offer: string, ranges: readonly Range[]): number {
  const family = `${offer.split('/', 1)[0]}/*`;
  const specificity = ({ type, hasParameters }: Range) => {
    if (type === offer) return hasParameters ? 3 : 4;
    if (type === family) return 2;
    return type === '*/*' ? 1 : 0;
  };
  let best = { specificity: 0, quality: 0 };
  for (const range of ranges) {
    const found = { specificity: specificity(range), quality: range.quality };
    const isSame = found.specificity === best.specificity;
    if (found.specificity > best.specificity || (isSame && found.quality > best.quality)) {
      best = found;
    }
  }
  return best.specificity === 0 ? 0 : best.quality;
}

/** True when `If-None-Match` names the tag (weak comparison) or is `*`. */
export function matchesTag(header: string | null | undefined, tag: string): boolean {
  return (header ?? '')
    .split(',', MOST_TAGS)
    .map((part) => part.trim().replace(/^W\//, ''))
    .some((part) => part === tag || part === '*');
}
