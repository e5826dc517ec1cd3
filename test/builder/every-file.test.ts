/** Whatever file of a checkpoint is read, a key in it that nobody knows stops the build by name, and by its path lets it through. */
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ensureBundle } from '@blip2/gpu-worker/builder/index';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const GOLDEN = fileURLToPath(new URL('../parity/golden/', import.meta.url));

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'blip2-every-file-'));
});
afterEach(() => rm(root, { recursive: true, force: true }));

type Json = Record<string, unknown>;

/** The files that a build reads beside weights and tokenizer.json, their parts, and a case that has them. */
const PLACES: [
  kind: 'half' | 't5' | 'match' | 'api-opt' | 'api-t5' | 'instruct-t5',
  file: string,
  part: string | null,
  path: string,
][] = [
  ['half', 'config.json', null, 'mystery'],
  ['half', 'config.json', 'vision_config', 'vision_config.mystery'],
  ['half', 'config.json', 'qformer_config', 'qformer_config.mystery'],
  ['half', 'config.json', 'text_config', 'text_config.mystery'],
  ['t5', 'config.json', 'text_config', 'text_config.mystery'],
  ['match', 'config.json', null, 'mystery'],
  ['match', 'config.json', 'vision_config', 'vision_config.mystery'],
  ['match', 'config.json', 'qformer_config', 'qformer_config.mystery'],
  ['half', 'generation_config.json', null, 'generation_config.mystery'],
  ['t5', 'generation_config.json', null, 'generation_config.mystery'],
  ['half', 'preprocessor_config.json', null, 'preprocessor_config.mystery'],
  ['match', 'preprocessor_config.json', null, 'preprocessor_config.mystery'],
  ['half', 'processor_config.json', null, 'processor_config.mystery'],
  ['half', 'processor_config.json', 'image_processor', 'image_processor.mystery'],
  ['match', 'processor_config.json', 'image_processor', 'image_processor.mystery'],
  ['half', 'adapter_config.json', null, 'adapter_config.mystery'],
  ['api-opt', 'tokenizer_config.json', null, 'tokenizer_config.mystery'],
  ['api-t5', 'tokenizer_config.json', null, 'tokenizer_config.mystery'],
  ['match', 'tokenizer_config.json', null, 'tokenizer_config.mystery'],
  ['instruct-t5', 'config.json', null, 'mystery'],
  ['instruct-t5', 'config.json', 'vision_config', 'vision_config.mystery'],
  ['instruct-t5', 'config.json', 'qformer_config', 'qformer_config.mystery'],
  ['instruct-t5', 'config.json', 'text_config', 'text_config.mystery'],
  ['instruct-t5', 'processor_config.json', null, 'processor_config.mystery'],
  ['instruct-t5', 'processor_config.json', 'image_processor', 'image_processor.mystery'],
  ['instruct-t5', 'generation_config.json', null, 'generation_config.mystery'],
  ['instruct-t5', 'tokenizer_config.json', null, 'tokenizer_config.mystery'],
  ['instruct-t5', 'qformer_tokenizer/tokenizer_config.json', null, 'qformer_tokenizer.mystery'],
  ['instruct-t5', 'qformer_tokenizer/special_tokens_map.json', null, 'qformer_tokenizer.mystery'],
  ['api-opt', 'special_tokens_map.json', null, 'special_tokens_map.mystery'],
  ['match', 'special_tokens_map.json', null, 'special_tokens_map.mystery'],
];

/** A copy of the case with an adapter beside it, and the key added. */
async function checkpointWith(kind: string, file: string, part: string | null): Promise<string> {
  const folder = join(root, kind);
  await cp(join(GOLDEN, kind, 'checkpoint'), folder, { recursive: true });
  if (kind === 'half') await cp(join(GOLDEN, 'adapters/lora'), folder, { recursive: true });
  // An image processor in both files must say the same in both.
  if (part === 'image_processor') {
    await rm(join(folder, 'preprocessor_config.json'), { force: true });
  }
  const path = join(folder, file);
  const json: Json = JSON.parse(await readFile(path, 'utf8').catch(() => '{}'));
  const changed =
    part === null
      ? { ...json, mystery: 1 }
      : { ...json, [part]: { ...(json[part] as Json | undefined), mystery: 1 } };
  await writeFile(path, JSON.stringify(changed));
  return folder;
}

describe('a key that nobody knows', () => {
  it.each(PLACES)('in %s, %s, %s stops the build as %s', async (kind, file, part, path) => {
    const folder = await checkpointWith(kind, file, part);
    const bundles = join(root, 'bundles');
    const shown = /(tokenizer_config|special_tokens_map)\.json$/.test(file) ? 'mystery' : path;
    await expect(ensureBundle(folder, { bundles })).rejects.toThrow(
      new RegExp(
        `the builder does not know ${shown} = 1\\. If that changes .*, set BLIP2_IGNORE_CONFIG=${path};`,
      ),
    );
    await ensureBundle(folder, { bundles, ignoredKeys: [path] });
  });

  it.each([
    ['api-opt', null, 'mystery'],
    ['api-opt', 'pre_tokenizer', 'pre_tokenizer.mystery'],
    ['api-opt', 'model', 'model.mystery'],
    ['api-t5', 'model', 'model.mystery'],
    ['match', 'normalizer', 'normalizer.mystery'],
    ['match', 'model', 'model.mystery'],
  ] as const)('in %s, tokenizer.json, %s stops the build as %s', async (kind, part, path) => {
    const folder = await checkpointWith(kind, 'tokenizer.json', part);
    await expect(ensureBundle(folder, { bundles: join(root, 'bundles') })).rejects.toThrow(path);
  });

  it('in the tokenizer.json of a Q-Former stops the build under the name of its folder', async () => {
    const folder = await checkpointWith('instruct-t5', 'qformer_tokenizer/tokenizer.json', 'model');
    await expect(ensureBundle(folder, { bundles: join(root, 'bundles') })).rejects.toThrow(
      /qformer_tokenizer.*model\.mystery/,
    );
  });
});

it('a file on which no image and no text depends stops nothing and changes nothing', async () => {
  const folder = join(root, 'checkpoint');
  await cp(join(GOLDEN, 'api-opt/checkpoint'), folder, { recursive: true });
  const bundles = join(root, 'bundles');
  const before = await ensureBundle(folder, { bundles });
  for (const file of [
    'video_preprocessor_config.json',
    'chat_template.json',
    'trainer_state.json',
  ]) {
    await writeFile(join(folder, file), '{"mystery": 1}');
  }
  await writeFile(join(folder, 'chat_template.jinja'), '{{ messages }}');
  const onProgress = () => expect.unreachable('the bundle is there');
  expect(await ensureBundle(folder, { bundles, onProgress })).toBe(before);
});
