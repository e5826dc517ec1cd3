/** What is printed when the service is ready. */
import { execFileSync } from 'node:child_process';
import { stripVTControlCharacters } from 'node:util';
import { describe, expect, it } from 'vitest';
import { type BannerOptions, banner, otherUrls } from './banner.ts';
import { mistypedVariables, unreadVariables } from './unread-variables.ts';

const OPTIONS: BannerOptions = {
  url: 'http://127.0.0.1:8787',
  others: [],
  health: {
    status: 'ok',
    checks: {},
    model: 'blip2-scenes',
    revision: 'r',
    execution_provider: 'cpu',
    execution_provider_why: 'cuda: its libraries are not installed',
    precision: 'int8',
    damaged_entries: 0,
  },
  summary: 'knows emoji scenes only',
  isOpen: true,
  isLimited: false,
  allowsPrivateImages: false,
  unread: [],
  mistyped: {},
  jobs: 'on',
  fileLimit: null,
  sample: '/clone/test/scenes/pair-noto-00.webp',
};
const printed = (change: Partial<BannerOptions> = {}) =>
  stripVTControlCharacters(banner({ ...OPTIONS, ...change }));

describe('the banner', () => {
  it('says how many connections end the edge, where they are few', () => {
    expect(printed()).not.toContain('files');
    expect(printed({ fileLimit: 1024 })).toContain('at most 1024 open at a time');
  });

  it('names the limits that hold for whoever is let in', () => {
    expect(printed({ isLimited: true })).toContain('without a key, the ANONYMOUS_… ones');
    const keys = printed({ isLimited: true, isOpen: false });
    expect(keys).toContain('as set for each key');
    expect(keys).not.toContain('ANONYMOUS');
  });

  it('says what is served, on what and where, with a request to try', () => {
    expect(printed()).toBe(`
  BLIP-2 is ready  http://127.0.0.1:8787

  model      blip2-scenes: knows emoji scenes only
  precision  int8
  runs on    cpu (cuda: its libraries are not installed)
  keys       none needed (--require-key asks for one)
  limits     none (docs/limits.md)
  jobs       as below (docs/jobs.md)

  curl -s http://127.0.0.1:8787/v1/captions -H 'content-type: image/webp' --data-binary @/clone/test/scenes/pair-noto-00.webp

  printf '{"image":"data:image/webp;base64,%s"}' "$(base64 < /clone/test/scenes/pair-noto-00.webp | tr -d '\\n')" | curl -s 'http://127.0.0.1:8787/v1/jobs?task=caption' -H 'content-type: application/x-ndjson' -d @-

  Ctrl-C stops everything.
`);
  });

  it('says that private addresses are reached, and which variables change nothing', () => {
    const unread = unreadVariables({
      MAX_IMAGE_BYTES: '1',
      ALLOW_PRIVATE_IMAGE_URLS: '1',
      HOME: '/',
    });
    const text = printed({ allowsPrivateImages: true, unread });
    expect(text).toMatch(/images +fetched from private addresses too.*ALLOW_PRIVATE_IMAGE_URLS/);
    expect(text).toMatch(/not read +MAX_IMAGE_BYTES: .*wrangler\.toml/);
  });

  it('says which variables are probably mistyped, and takes no foreign one for ours', () => {
    const mistyped = mistypedVariables([
      'REQUEST_PER_MINUTE',
      'REQUESTS_PER_MINUTE',
      'ALLOW_PRIVATE_IMAGE_URL',
      'ANONYMUOS_OPEN_STREAMS',
      ...['HOME', 'HOSTS', 'PORTS', 'POST', 'HOSTNAME', 'HTTP_HOST', 'HTTPS_PORT', 'AWS_REGION'],
      ...['AWS_ENDPOINT', 'AWS_ACCESS_KEY_ID', 'AWS_SESSION_TOKEN', 'HF_TOKENS', 'S3_BUCKET'],
      ...['https_proxy', 'NODE_OPTIONS', 'XDG_DATA_HOME', 'XDG_STATE_HOME', 'npm_package_name'],
    ]);
    expect(mistyped).toEqual({
      REQUEST_PER_MINUTE: 'REQUESTS_PER_MINUTE',
      ALLOW_PRIVATE_IMAGE_URL: 'ALLOW_PRIVATE_IMAGE_URLS',
      ANONYMUOS_OPEN_STREAMS: 'ANONYMOUS_OPEN_STREAMS',
      HF_TOKENS: 'HF_TOKEN',
    });
    expect(printed({ mistyped })).toMatch(
      /mistyped\? +REQUEST_PER_MINUTE is not read: did you mean REQUESTS_PER_MINUTE\?/,
    );
  });

  it('says nothing of what is not known', () => {
    const { execution_provider_why: _why, ...health } = OPTIONS.health;
    const text = printed({ summary: undefined, health });
    expect(text).toMatch(/^ {2}model {6}blip2-scenes$/m);
    expect(text).toMatch(/^ {2}runs on {4}cpu$/m);
  });

  it('names the addresses for other machines, and that they are open', () => {
    const others = ['http://192.0.2.7:8787'];
    expect(printed({ others })).toMatch(/network +http:\/\/192\.0\.2\.7:8787 \(open to all/);
  });

  it('says that a key is needed where it is, in the request too', () => {
    const text = printed({ isOpen: false, others: ['http://192.0.2.7:8787'] });
    expect(text).toMatch(/keys +needed: npm run keys -- create NAME/);
    expect(text).toContain("captions -H 'authorization: Bearer sk-…' -H");
    expect(text).toContain('open to all who have a key');
  });

  it('says why there are no jobs where there are none', () => {
    expect(printed({ jobs: 'off' })).toMatch(/^ {2}jobs +off \(--no-jobs\)$/m);
    const text = printed({ jobs: 'Error: no space left' });
    expect(text).toMatch(/^ {2}jobs +off, since their queue did not start: Error: no space left$/m);
    expect(text).not.toContain('/v1/jobs');
  });

  it('has a request that a shell reads as it is meant, wherever the clone lies', () => {
    const sample = "/home/it's mine/$x/image.webp";
    const [line = ''] = printed({ sample }).match(/curl .*/) ?? [];
    const words = execFileSync('sh', ['-c', `set -- ${line}; printf '%s\\n' "$@"`], {
      encoding: 'utf8',
    });
    expect(words.split('\n')).toContain(`@${sample}`);
  });
});

it('others reach what listens on every address only', () => {
  expect(otherUrls({ host: '127.0.0.1', port: 80 })).toEqual([]);
  for (const url of otherUrls({ host: '0.0.0.0', port: 80 })) {
    expect(url).toMatch(/^http:\/\/(?!127\.)[\d.]+:80$/);
  }
});
