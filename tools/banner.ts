/** What `npm start` prints when the service is ready: what it serves, on what, where, and a request to try. */
import { networkInterfaces } from 'node:os';
import { styleText } from 'node:util';
import { urlOf } from '@blip2/gpu-worker/check-port';
import type { Health } from '@blip2/shared/schemas/health';

export type BannerOptions = {
  /** Base URL by which this machine reaches the edge. */
  url: string;
  /** Those by which others reach it. */
  others: readonly string[];
  health: Health;
  /** What the model card says in a few words of what the model knows. */
  summary: string | undefined;
  /** Whether everybody is let in, without a key. */
  isOpen: boolean;
  /** Whether a limit of callers is set. */
  isLimited: boolean;
  /** Whether images are also fetched from private addresses. */
  allowsPrivateImages: boolean;
  /** Variables that are set and change nothing. */
  unread: readonly string[];
  /** Variables that are probably mistyped, with what was meant. */
  mistyped: Readonly<Record<string, string>>;
  /** `on`, `off`, or why there are none. */
  jobs: string;
  /** Files and connections that a process may have open, where that is few. */
  fileLimit: number | null;
  /** Absolute path of an image that every clone has. */
  sample: string;
};

const limitsOf = (isOpen: boolean) =>
  isOpen
    ? 'as set; without a key, the ANONYMOUS_… ones (GET /v1/usage)'
    : 'as set for each key (GET /v1/usage)';

export function banner(options: BannerOptions): string {
  const { url, others, health, summary, isOpen, isLimited, jobs, sample } = options;
  const { allowsPrivateImages, unread, mistyped, fileLimit } = options;
  const { model, execution_provider, execution_provider_why: why, precision } = health;
  const ofJobs: Record<string, string> = { on: 'as below (docs/jobs.md)', off: 'off (--no-jobs)' };
  const rows = {
    model: summary === undefined ? model : `${model}: ${summary}`,
    precision,
    'runs on': why === undefined ? execution_provider : `${execution_provider} (${why})`,
    network:
      others.length === 0
        ? undefined
        : `${others.join(', ')} (open to all who ${isOpen ? 'reach it' : 'have a key'}; HAProxy belongs before it: docs/deploy.md)`,
    keys: isOpen
      ? 'none needed (--require-key asks for one)'
      : 'needed: npm run keys -- create NAME',
    limits: isLimited ? limitsOf(isOpen) : 'none (docs/limits.md)',
    images: allowsPrivateImages
      ? 'fetched from private addresses too: whoever may ask reaches them (ALLOW_PRIVATE_IMAGE_URLS)'
      : undefined,
    files:
      fileLimit === null
        ? undefined
        : `at most ${fileLimit} open at a time, and as many connections end the edge: raise \`ulimit -Hn\` (docs/security.md)`,
    'not read':
      unread.length > 0
        ? `${unread.join(', ')}: the edge reads them from [vars] of wrangler.toml`
        : undefined,
    'mistyped?':
      Object.keys(mistyped).length > 0
        ? Object.entries(mistyped)
            .map(([name, meant]) => `${name} is not read: did you mean ${meant}?`)
            .join(' ')
        : undefined,
    jobs: ofJobs[jobs] ?? `off, since their queue did not start: ${jobs}`,
  };
  const width = Math.max(...Object.keys(rows).map(({ length }) => length));
  const facts = Object.entries(rows)
    .filter(([, text]) => text !== undefined)
    .map(([name, text]) => `  ${styleText('dim', name.padEnd(width))}  ${text}`);
  const key = isOpen ? '' : " -H 'authorization: Bearer sk-…'";
  const request = `${url}/v1/captions${key} -H 'content-type: image/webp' --data-binary ${quoted(`@${sample}`)}`;
  return [
    '',
    `  ${styleText('bold', 'BLIP-2 is ready')}  ${url}`,
    '',
    ...facts,
    '',
    `  curl -s ${request}`,
    '',
    ...(jobs === 'on' ? [`  ${jobRequest(url, key, sample)}`, ''] : []),
    '  Ctrl-C stops everything.',
    '',
  ].join('\n');
}

/** A job of one item, whose image is in it. */
function jobRequest(url: string, key: string, sample: string): string {
  const item = `printf '{"image":"data:image/webp;base64,%s"}' "$(base64 < ${quoted(sample)} | tr -d '\\n')"`;
  const type = "-H 'content-type: application/x-ndjson'";
  return `${item} | curl -s '${url}/v1/jobs?task=caption'${key} ${type} -d @-`;
}

/** The URLs by which other machines reach what listens on an address of this one. */
export function otherUrls({ host, port }: { host: string; port: number }): string[] {
  const isIPv6 = host === '::';
  if (host !== '0.0.0.0' && !isIPv6) return [];
  return Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .filter(({ internal, family }) => !internal && (family === 'IPv4' || isIPv6))
    .filter(({ address }) => !address.startsWith('fe80:'))
    .map(({ address }) => urlOf({ host: address, port }));
}

/** A word as a shell reads it back. */
function quoted(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
