import { describe, expect, it } from 'vitest';
import { parseModelId } from './model-id.ts';

const HUB = 'https://huggingface.co';
const MODEL = 'Salesforce/blip2-opt-2.7b';

describe('the name of a model', () => {
  it.each([
    [MODEL, 'main', HUB],
    [`${MODEL}@v1.0`, 'v1.0', HUB],
    [`${MODEL}@refs/pr/3`, 'refs/pr/3', HUB],
    [`hf://${MODEL}`, 'main', HUB],
    [`hf://models/${MODEL}@v2`, 'v2', HUB],
    [`https://huggingface.co/${MODEL}`, 'main', HUB],
    [`https://huggingface.co/${MODEL}/?library=transformers#files`, 'main', HUB],
    [`https://hf.co/${MODEL}/tree/v1.0`, 'v1.0', HUB],
    [`https://huggingface.co/${MODEL}/tree/refs%2Fpr%2F3`, 'refs/pr/3', HUB],
    [`http://localhost:8080/${MODEL}/tree/main`, 'main', 'http://localhost:8080'],
  ])('is read from %s', (text, revision, endpoint) => {
    expect(parseModelId(text, HUB)).toEqual({ id: MODEL, revision, endpoint });
  });

  it('is read from the page of a mirror with a path of its own', () => {
    const mirror = 'https://example.org/hub';
    expect(parseModelId(`${mirror}/${MODEL}`, mirror)).toEqual({
      id: MODEL,
      revision: 'main',
      endpoint: mirror,
    });
  });

  it.each([
    'blip2',
    '',
    'a/b/c',
    '../b',
    'a/..',
    'a--b/c',
    'a/b.',
    'a b/c',
    'a/b@',
    'a/b@..',
    'a/b@.',
    'a/b@x y',
    'a/b@/x',
    'https://',
    'https://huggingface.co/',
    'https://huggingface.co/datasets/a/b',
    `https://huggingface.co/${MODEL}/tree/`,
    `https://huggingface.co/${MODEL}/blob/main/config.json`,
  ])('is not "%s"', (text) => {
    expect(() => parseModelId(text, HUB)).toThrow(`"${text}" names no model`);
  });

  it.each([
    `${MODEL}/model.safetensors`,
    `https://huggingface.co/${MODEL}/blob/main/config.json`,
    `https://huggingface.co/${MODEL}/resolve/main/model.safetensors`,
  ])('is not a file of it: %s', (text) => {
    expect(() => parseModelId(text, HUB)).toThrow(`it names a file of one. Give ${MODEL}`);
  });

  it('takes its revision from outside only when it has none', () => {
    expect(parseModelId(MODEL, HUB, 'v1').revision).toBe('v1');
    expect(parseModelId(`${MODEL}@v1`, HUB, 'v1').revision).toBe('v1');
    expect(() => parseModelId(`${MODEL}@v2`, HUB, 'v1')).toThrow(/"v1" is another/);
  });
});
