import { homedir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readConfig } from './config.ts';
import { chooseCheckpoints, hubOptionsOf } from './model-options.ts';

describe('the configuration of the GPU worker', () => {
  it('has sensible defaults, and treats an empty variable as unset', () => {
    expect(readConfig({ BLIP2_THREADS: '' })).toMatchObject({
      port: 8788,
      host: '127.0.0.1',
      executionProvider: 'auto',
      maxSlots: 8,
      precision: 'auto',
    });
  });

  it.each([
    ['BLIP2_WORKER_PORT', '99999'],
    ['BLIP2_MAX_SLOTS', '0'],
    ['BLIP2_THREADS', 'many'],
    ['BLIP2_EXECUTION_PROVIDER', 'tpu'],
    ['BLIP2_PRECISION', 'int3'],
    ['HF_ENDPOINT', 'huggingface.co'],
    ['BLIP2_PREFILL_PIECE', '64'],
    ['BLIP2_MODELS', '.models'],
  ])('refuses %s=%s by name', (name, value) => {
    expect(() => readConfig({ [name]: value })).toThrow(name);
  });
});

describe('the cache of the hub', () => {
  const home = homedir();
  it.each([
    [{}, join(home, '.cache/huggingface/hub')],
    [{ XDG_CACHE_HOME: '/caches' }, '/caches/huggingface/hub'],
    [{ HF_HOME: '/hf', XDG_CACHE_HOME: '/caches' }, '/hf/hub'],
    [{ HF_HUB_CACHE: '/hub', HF_HOME: '/hf' }, '/hub'],
    [{ HF_HUB_CACHE: '~/hub' }, join(home, 'hub')],
    [{ HUGGINGFACE_HUB_CACHE: '/older' }, '/older'],
    [{ HF_HUB_CACHE: '', HF_HOME: '' }, join(home, '.cache/huggingface/hub')],
  ])('with %o is where huggingface_hub has it', (env, cache) => {
    expect(hubOptionsOf(readConfig(env)).cache).toBe(cache);
  });

  it.each([
    [{}, join(home, '.cache/huggingface/token')],
    [{ HF_HOME: '/hf' }, '/hf/token'],
    [{ HF_HOME: '/hf', HF_TOKEN_PATH: '~/secret' }, join(home, 'secret')],
    [{ HF_HUB_DISABLE_IMPLICIT_TOKEN: '1', HF_TOKEN: 'hf_x' }, undefined],
  ])('with %o has its token where huggingface_hub has it', (env, tokenFile) => {
    const options = hubOptionsOf(readConfig(env));
    expect(options.tokenFile).toBe(tokenFile);
    if (tokenFile === undefined) expect(options.token).toBeUndefined();
  });

  it('reaches the hub through the proxies of the environment, in either spelling', () => {
    const env = {
      https_proxy: 'p.example:1',
      HTTP_PROXY: 'http://q.example:2',
      no_proxy: '.local',
    };
    expect(hubOptionsOf(readConfig(env)).proxy).toEqual({
      https: 'http://p.example:1',
      http: 'http://q.example:2',
      except: '.local',
    });
  });
});

describe('the checkpoints', () => {
  it('are the embedded two, and without retrieval when another generative one is chosen', () => {
    expect(chooseCheckpoints(readConfig({}))).toEqual({
      checkpoint: expect.stringMatching(/checkpoints.generate$/),
      retrievalCheckpoint: expect.stringMatching(/checkpoints.retrieve$/),
    });
    expect(chooseCheckpoints(readConfig({ BLIP2_CHECKPOINT: 'a/b' }))).toEqual({
      checkpoint: 'a/b',
    });
    expect(chooseCheckpoints(readConfig({ BLIP2_RETRIEVAL_CHECKPOINT: 'none' }))).toEqual({
      checkpoint: expect.any(String),
    });
  });
});
