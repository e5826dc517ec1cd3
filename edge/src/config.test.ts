import { describe, expect, it } from 'vitest';
import { readConfig } from './config.ts';
import { testEnv } from './testing/edge.ts';

describe('the configuration', () => {
  it('has numbers for texts, and the URL without a trailing slash', () => {
    const env = { ...testEnv, GPU_WORKER_URL: 'https://gpu.example/a//', MAX_IMAGE_BYTES: '7' };
    expect(readConfig(env)).toEqual({
      gpuWorkerUrl: 'https://gpu.example/a',
      maxImageBytes: 7,
      maxBodyBytes: 200_000,
      deadlineMs: 5000,
      allowPrivateImageUrls: false,
    });
  });

  it.each([
    ['GPU_WORKER_URL', 'gpu.example'],
    ['MAX_BODY_BYTES', '0'],
    ['MAX_IMAGE_BYTES', '1.5'],
    ['REQUEST_DEADLINE_MS', 'soon'],
    ['ALLOW_PRIVATE_IMAGE_URLS', 'yes'],
  ])('is refused for %s=%s, naming the variable and what it is for', (name, text) => {
    expect(() => readConfig({ ...testEnv, [name]: text })).toThrow(
      new RegExp(`^${name} is missing or not valid: \\w+`),
    );
  });

  it('names every variable that is missing', () => {
    const { GPU_WORKER_URL: _url, MAX_BODY_BYTES: _bytes, ...env } = testEnv;
    expect(() => readConfig(env as typeof testEnv)).toThrow(/GPU_WORKER_URL.*; MAX_BODY_BYTES/);
  });
});
