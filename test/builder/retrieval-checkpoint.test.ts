/** Retrieval checkpoints are checked, and become bundles with a manifest. */
import { cp, mkdtemp, readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  ensureBundle,
  readGenerativeManifest,
  readManifest,
  readRetrievalManifest,
} from '@blip2/gpu-worker/builder/index';
import { describe, expect, it } from 'vitest';
import { readGolden, readRetrievalGolden } from '../../tools/eval/goldens.ts';
import { editTensors, type Header } from '../support/edit-checkpoint.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const bundles = temporaryFolder();

describe('a retrieval checkpoint', () => {
  type Json = Record<string, unknown>;
  type Config = Json & { qformer_config: Json };
  type Tokenizer = { added_tokens: { content: string; id: number }[]; model: { vocab: Json } };
  type Change = (folder: string) => Promise<void>;

  const file =
    <T>(name: string, change: (content: T) => void): Change =>
    async (folder) => {
      const path = join(folder, name);
      const content = JSON.parse(await readFile(path, 'utf8'));
      change(content);
      await writeFile(path, JSON.stringify(content));
    };
  const config = (change: (config: Config) => void) => file('config.json', change);
  const imageSize = (size: unknown) =>
    file<Json>('preprocessor_config.json', (processor) => Object.assign(processor, { size }));
  const tokenizer = (change: (tokenizer: Tokenizer) => void) => file('tokenizer.json', change);
  const tensors =
    (change: (header: Header) => void): Change =>
    (folder) =>
      editTensors(folder, change);
  const changed = async (change: Change) => {
    const folder = await mkdtemp(join(bundles, 'changed-'));
    await cp(readRetrievalGolden('match').checkpoint, folder, { recursive: true });
    await change(folder);
    return folder;
  };

  it.each<[string, Change, RegExp]>([
    [
      'without text layers',
      config(({ qformer_config: c }) => Object.assign(c, { use_qformer_text_input: false })),
      /use_qformer_text_input/,
    ],
    [
      'with another width of its ITC space',
      config((c) => Object.assign(c, { image_text_hidden_size: 20 })),
      /vision_projection.weight/,
    ],
    [
      'with another vocabulary',
      config(({ qformer_config: c }) => Object.assign(c, { vocab_size: 60 })),
      /word_embeddings.weight.*\[61,42\]/,
    ],
    [
      'of an unknown architecture',
      config((c) => Object.assign(c, { architectures: ['Blip3'] })),
      /Blip3 is not supported/,
    ],
    [
      'without its ITM head',
      tensors((h) => void delete h['itm_head.bias']),
      /lacks.*itm_head.bias/,
    ],
    [
      'with a text layer of another shape',
      tensors((h) => void h['qformer.encoder.layer.3.output.dense.weight']!.shape.reverse()),
      /layer\.3\.output\.dense\.weight" has the shape \[52,42\].*\[42,52\]/,
    ],
    [
      'with an unknown tensor',
      tensors((h) => void Object.assign(h, { temp: h['itm_head.bias'] })),
      /does not know: temp/,
    ],
    ['of oblong images', imageSize({ height: 28, width: 35 }), /28 × 35 pixels: not a square/],
    ['of images that are no whole patches', imageSize(30), /30 × 30 pixels.*patches of 7/],
    [
      'whose tokenizer has no [CLS]',
      tokenizer((t) => {
        t.added_tokens = t.added_tokens.filter(({ content }) => content !== '[CLS]');
        delete t.model.vocab['[CLS]'];
      }),
      /lacks the token \[CLS\]/,
    ],
    [
      'whose [SEP] has no row in the embedding',
      tokenizer((t) => {
        t.added_tokens.find(({ content }) => content === '[SEP]')!.id = 61;
      }),
      /\[SEP\] is 61, the vocabulary has 61 tokens/,
    ],
    [
      'whose tokenizer is cut off',
      (folder) => truncate(join(folder, 'tokenizer.json'), 100),
      /tokenizer.json is not JSON/,
    ],
  ])('%s is refused by name', async (_name, change, message) => {
    await expect(ensureBundle(await changed(change), { bundles })).rejects.toThrow(message);
  });

  it('may have the buffer of position ids that older versions saved', async () => {
    const older = await changed(
      tensors((h) => {
        const { data_offsets } = h['itm_head.bias']!;
        const ids = { dtype: 'I64', shape: [1, 1], data_offsets };
        Object.assign(h, { 'embeddings.position_ids': ids });
      }),
    );
    const { files } = await readManifest(await ensureBundle(older, { bundles }));
    expect(files.map(({ path }) => path)).toContain('itm.onnx');
  });

  it('has a manifest with the length of texts and the ids of their control tokens', async () => {
    const { checkpoint } = readRetrievalGolden('match');
    const manifest = await readRetrievalManifest(await ensureBundle(checkpoint, { bundles }));
    expect(manifest.text).toEqual({
      vocab: 61,
      max_positions: 23,
      cls_token_id: 1,
      sep_token_id: 2,
      pad_token_id: 0,
    });
    expect(manifest.itc_hidden).toBe(19);
  });

  it('has images of the size that its image processor makes', async () => {
    const { checkpoint } = readRetrievalGolden('resized');
    const { image, image_tokens } = await readManifest(await ensureBundle(checkpoint, { bundles }));
    expect(image.size).toBe(35);
    expect(image_tokens).toBe(26);
  });

  it('is not read as a generative bundle, nor the other way round', async () => {
    const generative = await ensureBundle(readGolden('half').checkpoint, { bundles });
    await expect(readRetrievalManifest(generative)).rejects.toThrow('set it as BLIP2_CHECKPOINT.');
    const retrieval = await ensureBundle(readRetrievalGolden('match').checkpoint, { bundles });
    await expect(readGenerativeManifest(retrieval)).rejects.toThrow(
      'set it as BLIP2_RETRIEVAL_CHECKPOINT.',
    );
  });

  it('has the same image encoder as a generative bundle with the same weights, byte for byte', async () => {
    const embedded = new URL('../../gpu-worker/checkpoints/', import.meta.url).pathname;
    const hashes = [];
    for (const kind of ['generate', 'retrieve']) {
      const { files } = await readManifest(await ensureBundle(join(embedded, kind), { bundles }));
      hashes.push(files.filter(({ path }) => path.startsWith('vision.')));
    }
    expect(hashes[0]).toHaveLength(2);
    expect(hashes[0]).toEqual(hashes[1]);
  });
});
