import { afterEach, describe, expect, it } from 'vitest';
import { model } from '../model-manifest.ts';
import { preparePrompt } from './generate.ts';

const own = model.generation;
afterEach(() => {
  if (own === undefined) delete model.generation;
  else model.generation = own;
});

describe('a prompt', () => {
  it('is written as the checkpoint says where the request says nothing', () => {
    model.generation = { num_beams: 3, repetition_penalty: 1.5 };
    expect(preparePrompt('a', {}, 7).generation).toMatchObject({
      num_beams: 3,
      repetition_penalty: 1.5,
      seed: 7,
    });
  });

  it('is written as the request says', () => {
    model.generation = { num_beams: 3, repetition_penalty: 1.5 };
    expect(
      preparePrompt('a', { temperature: 0.5, repetition_penalty: 1 }, 7).generation,
    ).toMatchObject({
      num_beams: 1,
      temperature: 0.5,
      repetition_penalty: 1,
    });
  });
});
