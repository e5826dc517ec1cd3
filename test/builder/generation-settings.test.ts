/** What a checkpoint says of how it writes becomes the default of requests, or stops the build by name. */
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ensureBundle, readGenerativeManifest } from '@blip2/gpu-worker/builder/index';
import { edgeModelFrom } from '@blip2/shared/edge-model';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readGolden, readT5Golden } from '../../tools/eval/goldens.ts';

type Settings = Record<string, unknown>;

let root: string;
let bundles: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'blip2-generation-'));
  bundles = join(root, 'bundles');
});
afterEach(() => rm(root, { recursive: true, force: true }));

/** Settings of a bundle whose checkpoint says this. */
async function built(
  family: 'opt' | 't5',
  { file, config, ignored = [] }: { file?: Settings; config?: Settings; ignored?: string[] },
) {
  const checkpoint = join(root, family);
  const golden = family === 'opt' ? readGolden('half') : readT5Golden('t5');
  await cp(golden.checkpoint, checkpoint, { recursive: true });
  const path = join(checkpoint, 'generation_config.json');
  if (file === undefined) await rm(path);
  else await writeFile(path, JSON.stringify(file));
  if (config !== undefined) {
    const whole = JSON.parse(await readFile(join(checkpoint, 'config.json'), 'utf8'));
    Object.assign(whole.text_config, config);
    await writeFile(join(checkpoint, 'config.json'), JSON.stringify(whole));
  }
  const bundle = await ensureBundle(checkpoint, { bundles, ignoredKeys: ignored });
  return await readGenerativeManifest(bundle);
}

describe('settings of generation', () => {
  it.each<[string, Settings, Settings]>([
    ['nothing', {}, { max_new_tokens: 32 }],
    ['a length', { max_new_tokens: 9, max_length: 400 }, { max_new_tokens: 9 }],
    [
      'a search',
      { num_beams: 5, length_penalty: -1, early_stopping: true, num_return_sequences: 2 },
      {
        max_new_tokens: 32,
        defaults: { num_beams: 5, length_penalty: -1, early_stopping: true, n: 2 },
      },
    ],
    [
      'penalties',
      { repetition_penalty: 1.5, no_repeat_ngram_size: 3, min_new_tokens: 2 },
      {
        max_new_tokens: 32,
        defaults: { repetition_penalty: 1.5, no_repeat_ngram_size: 3, min_tokens: 2 },
      },
    ],
    [
      'sampling, whose likeliest 50 tokens transformers takes',
      { do_sample: true },
      { max_new_tokens: 32, defaults: { temperature: 1, top_k: 50, top_p: 1 } },
    ],
    [
      'sampling',
      { do_sample: true, temperature: 0.7, top_p: 0.9, top_k: 0 },
      { max_new_tokens: 32, defaults: { temperature: 0.7, top_k: 0, top_p: 0.9 } },
    ],
    ['sampling that is off', { temperature: 0.7, top_p: 0.9 }, { max_new_tokens: 32 }],
    [
      'every default',
      {
        typical_p: 1,
        num_beam_groups: 1,
        diversity_penalty: 0,
        bad_words_ids: null,
        max_length: 20,
        guidance_scale: null,
      },
      { max_new_tokens: 32 },
    ],
  ])('of %s are the defaults of requests', async (_name, file, expected) => {
    const manifest = await built('opt', { file });
    expect(manifest.generation).toEqual(expected);
    expect(edgeModelFrom(manifest).generation).toEqual(expected.defaults);
  });

  it("count T5's start of a text among its length", async () => {
    const { generation } = await built('t5', { file: { max_length: 30, min_length: 5 } });
    expect(generation).toEqual({ max_new_tokens: 29, defaults: { min_tokens: 4 } });
  });

  it('stand in the config of older checkpoints, where there is no file of them', async () => {
    const config = { num_beams: 3, temperature: 1, max_length: 20, top_k: 50 };
    const { generation } = await built('opt', { config });
    expect(generation).toEqual({ max_new_tokens: 32, defaults: { num_beams: 3 } });
  });

  it('of an older config are not read beside a file', async () => {
    const { generation } = await built('opt', { file: {}, config: { num_beams: 3 } });
    expect(generation).toEqual({ max_new_tokens: 32 });
  });

  it.each<[Settings, RegExp]>([
    [{ bad_words_ids: [[5]] }, /know generation_config\.bad_words_ids = \[\[5\]\]/],
    [{ force_words_ids: [[5]] }, /know generation_config\.force_words_ids/],
    [{ suppress_tokens: [5] }, /know generation_config\.suppress_tokens = \[5\]/],
    [{ begin_suppress_tokens: [5] }, /know generation_config\.begin_suppress_tokens/],
    [{ forced_bos_token_id: 5 }, /know generation_config\.forced_bos_token_id = 5/],
    [{ forced_eos_token_id: 5 }, /know generation_config\.forced_eos_token_id/],
    [{ typical_p: 0.5 }, /know generation_config\.typical_p = 0\.5/],
    [{ min_p: 0.1 }, /know generation_config\.min_p/],
    [{ epsilon_cutoff: 0.1 }, /know generation_config\.epsilon_cutoff/],
    [{ penalty_alpha: 0.6 }, /know generation_config\.penalty_alpha/],
    [
      { num_beam_groups: 2, diversity_penalty: 1 },
      /num_beam_groups = 2, generation_config\.diversity_penalty|diversity_penalty = 1/,
    ],
    [{ encoder_repetition_penalty: 2 }, /know generation_config\.encoder_repetition_penalty/],
    [{ encoder_no_repeat_ngram_size: 2 }, /know generation_config\.encoder_no_repeat_ngram_size/],
    [{ exponential_decay_length_penalty: [2, 1.1] }, /exponential_decay_length_penalty/],
    [{ sequence_bias: [[[5], 2]] }, /know generation_config\.sequence_bias/],
    [{ guidance_scale: 1.5 }, /know generation_config\.guidance_scale/],
    [{ stop_strings: ['.'] }, /know generation_config\.stop_strings/],
    [{ max_time: 2 }, /know generation_config\.max_time/],
    [{ renormalize_logits: true }, /know generation_config\.renormalize_logits/],
    [{ watermarking_config: { bias: 2 } }, /know generation_config\.watermarking_config/],
    [{ magic: 1 }, /know generation_config\.magic = 1.*CONFIG=generation_config\.magic/],
    [{ max_length: 50 }, /max_length 50 counts the prompt: write max_new_tokens/],
    [{ min_length: 5 }, /min_length 5 counts the prompt: write min_new_tokens/],
    [{ do_sample: true, num_beams: 3 }, /do_sample with num_beams 3 draws within a search/],
    [{ do_sample: true, temperature: 0 }, /do_sample needs a temperature above 0/],
    [{ num_beams: 50 }, /num_beams = 50: must be a whole number from 1 to 8/],
    [{ num_return_sequences: 3 }, /num_return_sequences = 3: several greedy texts/],
    [{ repetition_penalty: 1e-300 }, /repetition_penalty = 1e-300: must be a number from 0\.01 to/],
    [{ repetition_penalty: 0 }, /repetition_penalty = 0: must be a number from 0\.01 to 100/],
    [{ no_repeat_ngram_size: 1e9 }, /no_repeat_ngram_size = 1000000000: must be a whole number/],
    [{ length_penalty: -11 }, /length_penalty = -11: must be a number from -10 to 10/],
    [{ max_new_tokens: 1e15 }, /max_new_tokens = 1000000000000000: must be a whole number from 1/],
    [{ min_new_tokens: 1e15 }, /min_new_tokens = 1000000000000000: must be a whole number from 0/],
    [
      { max_new_tokens: 3, min_new_tokens: 4 },
      /min_new_tokens = 4: must be at most max_tokens, which is 3/,
    ],
    [{ do_sample: true, temperature: 1e9 }, /temperature = 1000000000: must be a number from 0 to/],
    [{ do_sample: true, top_p: 0 }, /top_p = 0: must be a number above 0/],
    [{ do_sample: true, top_k: 1e12 }, /top_k = 1000000000000: must be a whole number from 0/],
    [{ num_beams: 'many' }, /num_beams/],
  ])('%o stop the build', async (file, message) => {
    await expect(built('opt', { file })).rejects.toThrow(message);
  });

  it('of an older config stop the build as well', async () => {
    await expect(built('opt', { config: { num_beam_groups: 2 } })).rejects.toThrow(
      /config\.json: the builder does not know text_config\.num_beam_groups = 2/,
    );
  });

  it('may say what BLIP2_IGNORE_CONFIG names', async () => {
    const ignored = ['generation_config.suppress_tokens'];
    await built('opt', { file: { suppress_tokens: [5] }, ignored });
  });
});
