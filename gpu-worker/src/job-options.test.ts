import { describe, expect, it } from 'vitest';
import { readConfig } from './config.ts';
import { jobsConfigOf } from './job-options.ts';

const SECRETS = 'a first secret of at least 32 characters,another secret of as many characters';
const WHOLE = {
  BLIP2_JOBS_QUEUE_URL: 'https://sqs.eu-west-1.amazonaws.com/123456789012/jobs',
  BLIP2_JOBS_EDGE_URL: 'https://blip2.example.org/',
  BLIP2_JOBS_SECRET: SECRETS,
};
const read = (env: Record<string, string>) => jobsConfigOf(readConfig(env));

describe('the configuration of jobs', () => {
  it('is none where nothing is set', () => {
    expect(read({})).toBeNull();
    expect(read({ BLIP2_JOBS_REGION: 'eu-west-1' })).toBeNull();
  });

  it('needs a queue, the edge and a secret, and signs with the first', () => {
    expect(read(WHOLE)).toEqual({
      queueUrl: WHOLE.BLIP2_JOBS_QUEUE_URL,
      deadLetterUrl: undefined,
      edgeUrl: 'https://blip2.example.org',
      secret: 'a first secret of at least 32 characters',
      endpoint: undefined,
      region: 'us-east-1',
      visibilityS: 45,
    });
  });

  it.each(Object.keys(WHOLE))('that lacks %s is refused with its name', (name) => {
    expect(() => read({ ...WHOLE, [name]: '' })).toThrow(`To run jobs, ${name} must be set too.`);
  });

  it('that has nothing but queues is refused with both names that it lacks', () => {
    const env = { BLIP2_JOBS_DEAD_LETTER_URL: WHOLE.BLIP2_JOBS_QUEUE_URL };
    expect(() => read(env)).toThrow(
      'To run jobs, BLIP2_JOBS_QUEUE_URL and BLIP2_JOBS_EDGE_URL and BLIP2_JOBS_SECRET must be set too.',
    );
  });

  it('never shows a secret that is too short', () => {
    expect(() => readConfig({ BLIP2_JOBS_SECRET: 'short secret' })).toThrow(
      /^BLIP2_JOBS_SECRET must be (?!.*short secret)/,
    );
  });
});
