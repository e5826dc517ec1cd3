/** Where the GPU workers are: their base URLs, with the share of requests that each takes and the zone it is in. */
import * as z from 'zod/mini';
import type { Kind } from './kinds.ts';

export type WorkerAddress = {
  /** Base URL, without a slash at its end. */
  url: string;
  /** Requests that it takes, relative to the others. */
  weight: number;
  /** Continent as Cloudflare calls it (`EU`, `NA`, …), whose requests prefer it; null is near to all. */
  zone: string | null;
};

/** More than this, and what is in front of them should be one balancer with an address of its own. */
const MOST = 16;

const Url = z.pipe(
  z.url({ protocol: /^https?$/ }),
  z.transform((url: string) => url.replace(/(?<!\/)\/+$/, '')),
);
const Address = z.strictObject({
  url: Url,
  weight: z.pipe(
    z._default(z.string().check(z.regex(/^\d{1,3}(\.\d{1,3})?$/)), '1'),
    z.pipe(z.transform(Number), z.number().check(z.positive())),
  ),
  zone: z.pipe(
    z.optional(z.string().check(z.toUpperCase(), z.regex(/^[A-Z0-9]{2}$/))),
    z.transform((zone) => zone ?? null),
  ),
});

/** @example membersOf('https://a.example weight=2') // { url: 'https://a.example', weight: '2' } */
function membersOf(entry: string): z.input<typeof Address> {
  const [url = '', ...rest] = entry.split(/\s+/);
  return { url, ...Object.fromEntries(rest.map((word) => word.split('=', 2))) };
}

const split = (value: string) =>
  value
    .split(',')
    .map((entry) => entry.trim())
    .filter((entry) => entry !== '');

/** @example 'https://a.example weight=2 zone=EU, https://b.example' */
export function workerAddresses(): Kind<readonly WorkerAddress[]> {
  const entries = z.pipe(
    z.string(),
    z.transform((value: string) => split(value).map(membersOf)),
  );
  const distinct = (all: readonly WorkerAddress[]) =>
    new Set(all.map(({ url }) => url)).size === all.length;
  const addresses = z.array(Address).check(z.maxLength(MOST), z.refine(distinct));
  return {
    schema: z.pipe(entries, addresses) as z.ZodMiniType<readonly WorkerAddress[], string>,
    allowed: `up to ${MOST} different http:// or https:// addresses with commas between them, each with weight=N (more than 0, below 1000) and zone=CONTINENT (EU, NA, …) behind it where it has them`,
    placeholder: 'URLS',
    format: (all) =>
      all
        .map(({ url, weight, zone }) =>
          [
            url,
            ...(weight === 1 ? [] : [`weight=${weight}`]),
            ...(zone ? [`zone=${zone}`] : []),
          ].join(' '),
        )
        .join(', '),
  };
}
