import { env } from 'cloudflare:workers';
import { describe, expect, it } from 'vitest';
import { readConfig } from './config.ts';

describe('the configuration', () => {
  it('has the defaults where nothing is set, and an empty variable is unset', () => {
    const defaults = {
      gpuWorkerUrl: 'http://127.0.0.1:8788',
      gpuWorkers: [],
      gpuWorkerSecrets: [],
      gpuAccessToken: undefined,
      hedgeRequests: false,
      allowAnonymous: false,
      allowAnonymousDelete: false,
      maxImageBytes: 20_971_520,
      maxBodyBytes: 31_457_280,
      maxHeldBytes: 50_331_648,
      deadlineMs: 30_000,
      requestsPerWorker: null,
      restartMs: 5000,
      allowPrivateImageUrls: false,
      imageUserAgent: 'blip2-edge/0.1 (+https://blip2-edge.example/contact)',
      clientAddressHeader: 'cf-connecting-ip',
      clientAddressHops: 1,
      requestsPerMinute: 300,
      tokensPerMinute: 60_000,
      imagesPerDay: 10_000,
      openStreams: 16,
      anonymousRequestsPerMinute: 60,
      anonymousTokensPerMinute: 12_000,
      anonymousImagesPerDay: 1000,
      anonymousOpenStreams: 4,
      limitsFailOpen: false,
      cacheTimeoutMs: 2000,
      embeddingTtlDays: 30,
      replyTtlHours: 24,
      cacheRepliesInKv: false,
      showCache: true,
      jobsMaxFileBytes: 104_857_600,
      jobsQueueUrl: undefined,
      jobsQueueEndpoint: undefined,
      jobsRegion: 'us-east-1',
      awsAccessKeyId: undefined,
      awsSecretAccessKey: undefined,
      jobsSecrets: [],
      jobsPartItems: 10_000,
      jobsWindow: 256,
      jobsRunningParts: 16,
      jobsMaxItems: 1_000_000,
      jobsResendMs: 21_600_000,
      jobsImageBucketUrl: undefined,
      jobsImageBucketKeyId: undefined,
      jobsImageBucketSecret: undefined,
      cacheSecret: undefined,
    };
    expect(readConfig({})).toEqual(defaults);
    expect(readConfig({ GPU_WORKER_URL: '', REQUEST_DEADLINE_MS: '' })).toEqual(defaults);
  });

  it('has numbers for texts, the URL without a trailing slash, and nothing of other bindings', () => {
    const variables = {
      GPU_WORKER_URL: 'https://gpu.example/a//',
      GPU_WORKER_URLS: 'https://a.example/ weight=2 zone=eu',
      HEDGE_REQUESTS: '1',
      MAX_IMAGE_BYTES: '7',
      IMAGE_USER_AGENT: 'ours/2 (mailto:us@example.org)',
      CLIENT_ADDRESS_HEADER: 'none',
      JOBS_REGION: 'eu-central-1',
      JOBS_SECRET: `${'a'.repeat(32)}, ${'b'.repeat(40)}`,
    };
    const bindings = env as unknown as Record<string, unknown>;
    expect(readConfig({ ...bindings, ...variables, ALLOW_PRIVATE_IMAGE_URLS: 'true' })).toEqual({
      gpuWorkerUrl: 'https://gpu.example/a',
      gpuWorkers: [{ url: 'https://a.example', weight: 2, zone: 'EU' }],
      gpuWorkerSecrets: [],
      gpuAccessToken: undefined,
      hedgeRequests: true,
      allowAnonymous: true,
      allowAnonymousDelete: false,
      maxImageBytes: 7,
      maxBodyBytes: 200_000,
      maxHeldBytes: 50_331_648,
      deadlineMs: 5000,
      requestsPerWorker: null,
      restartMs: 0,
      allowPrivateImageUrls: true,
      imageUserAgent: 'ours/2 (mailto:us@example.org)',
      clientAddressHeader: null,
      clientAddressHops: 1,
      requestsPerMinute: null,
      tokensPerMinute: null,
      imagesPerDay: null,
      openStreams: null,
      anonymousRequestsPerMinute: null,
      anonymousTokensPerMinute: null,
      anonymousImagesPerDay: null,
      anonymousOpenStreams: null,
      limitsFailOpen: false,
      cacheTimeoutMs: 2000,
      embeddingTtlDays: 30,
      replyTtlHours: 24,
      cacheRepliesInKv: false,
      showCache: true,
      jobsMaxFileBytes: 104_857_600,
      jobsQueueUrl: bindings.JOBS_QUEUE_URL,
      jobsQueueEndpoint: undefined,
      jobsRegion: 'eu-central-1',
      awsAccessKeyId: 'test',
      awsSecretAccessKey: 'test',
      jobsSecrets: ['a'.repeat(32), 'b'.repeat(40)],
      jobsPartItems: 50,
      jobsWindow: 16,
      jobsRunningParts: 2,
      jobsMaxItems: 1_000_000,
      jobsResendMs: 1500,
      jobsImageBucketUrl: undefined,
      jobsImageBucketKeyId: undefined,
      jobsImageBucketSecret: undefined,
      cacheSecret: undefined,
    });
  });

  it('takes numbers and booleans of wrangler.toml', () => {
    const config = readConfig({ MAX_IMAGE_BYTES: 7, ALLOW_PRIVATE_IMAGE_URLS: true });
    expect(config).toMatchObject({ maxImageBytes: 7, allowPrivateImageUrls: true });
  });

  it.each([
    ['GPU_WORKER_URL', 'gpu.example', 'an http:// or https:// address'],
    ['REQUESTS_PER_MINUTE', '0', 'a whole number from 1 to 1000000000, or none'],
    ['MAX_BODY_BYTES', '0', 'a whole number from 1'],
    ['MAX_IMAGE_BYTES', '1.5', 'a whole number from 1'],
    ['REQUEST_DEADLINE_MS', 'soon', 'a whole number from 1'],
    ['ALLOW_PRIVATE_IMAGE_URLS', 'perhaps', '1 or 0'],
    ['IMAGE_USER_AGENT', 'näme', 'name: up to 256'],
    ['CLIENT_ADDRESS_HEADER', 'a b', 'the name of a header'],
    ['CLIENT_ADDRESS_HOPS', '0', 'a whole number from 1'],
  ])('is refused for %s=%s, naming the variable and what is allowed', (name, text, allowed) => {
    const refused = new RegExp(`^${name} must be ${allowed}.*, not "${text}"\\.$`);
    expect(() => readConfig({ [name]: text })).toThrow(refused);
  });

  it('does not say what a secret is', () => {
    expect(() => readConfig({ CACHE_SECRET: 'two words' })).toThrow(/^CACHE_SECRET must be [^"]*$/);
    for (const secret of ['short', `${'a'.repeat(32)},`, 'a'.repeat(257)]) {
      expect(() => readConfig({ JOBS_SECRET: secret })).toThrow(/^JOBS_SECRET must be [^"]*$/);
    }
  });

  it('names every variable that is wrong', () => {
    const variables = { GPU_WORKER_URL: 'x', MAX_BODY_BYTES: 'y' };
    expect(() => readConfig(variables)).toThrow(/GPU_WORKER_URL must.*\nMAX_BODY_BYTES must/);
  });
});
