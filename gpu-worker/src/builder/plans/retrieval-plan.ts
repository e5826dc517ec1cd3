/** The bundle of a `Blip2ForImageTextRetrieval` checkpoint: its graphs, its manifest. */
import { join } from 'node:path';
import type { Precision } from '@blip2/shared/bundle-manifest';
import * as z from 'zod/mini';
import { Checkpoint } from '../checkpoint/checkpoint.ts';
import type { TensorSource } from '../checkpoint/tensor-source.ts';
import { composeTokenizer } from '../checkpoint/tokenizer-file.ts';
import { readImageProcessor } from '../config/image-processor.ts';
import { readRetrievalConfig } from '../config/model-config.ts';
import { imageInput, preprocessingIdentity } from '../config/preprocessing.ts';
import { CheckpointError } from '../errors.ts';
import { itcQformerGraph } from '../graphs/qformer.ts';
import { itmGraph, textGraph } from '../graphs/retrieval-text.ts';
import { imageTokens, visionGraph } from '../graphs/vision.ts';
import { type BundlePlan, descriptionsOf, graphsOf, IGNORED_TENSORS } from './plan.ts';

/** Plans graphs and manifest; every tensor and config value is checked here, no weight is read. */
export async function planRetrieval(
  folder: string,
  precision: Precision,
  tensors: TensorSource,
): Promise<BundlePlan> {
  const config = await readRetrievalConfig(folder);
  const { vision_config: vision, qformer_config: qformer } = config;
  const image = imageInput(vision, await readImageProcessor(folder));
  const checkpoint = new Checkpoint(folder, tensors);
  const source = { checkpoint, precision };
  const sizes = { numQueries: config.num_query_tokens, imageTokens: imageTokens(image) };
  const itcHidden = config.image_text_hidden_size;
  const graphs = {
    vision: visionGraph(source, vision, image.size),
    qformer: itcQformerGraph(source, qformer, sizes, itcHidden),
    text: textGraph(source, qformer, itcHidden),
    itm: itmGraph(source, qformer, sizes),
  };
  checkpoint.ensureAllUsed([IGNORED_TENSORS]);
  return {
    graphs: graphsOf(graphs),
    manifest: {
      kind: 'retrieve',
      family: 'qformer',
      precision,
      preprocessing: preprocessingIdentity(image, precision),
      image,
      image_tokens: sizes.imageTokens,
      vision_hidden: vision.hidden_size,
      num_query_tokens: config.num_query_tokens,
      qformer_hidden: qformer.hidden_size,
      text: {
        vocab: qformer.vocab_size,
        max_positions: qformer.max_position_embeddings,
        ...(await controlTokens(folder, qformer.vocab_size)),
      },
      itc_hidden: itcHidden,
      graphs: descriptionsOf(graphs),
    },
  };
}

const TokenizerFile = z.looseObject({
  added_tokens: z._default(z.array(z.looseObject({ id: z.int(), content: z.string() })), []),
  model: z.looseObject({ vocab: z.record(z.string(), z.int()) }),
});

/** Ids of [CLS], [SEP] and [PAD], from the tokenizer; the embedding must have a row for each. */
async function controlTokens(folder: string, vocab: number) {
  const path = join(folder, 'tokenizer.json');
  const file = TokenizerFile.safeParse(JSON.parse(await composeTokenizer(folder)));
  if (!file.success) throw new CheckpointError(`${path} is not a WordPiece tokenizer.`);
  const { added_tokens, model } = file.data;
  const idOf = (token: string): number => {
    const id = added_tokens.find(({ content }) => content === token)?.id ?? model.vocab[token];
    if (id === undefined) throw new CheckpointError(`${path} lacks the token ${token}.`);
    if (id >= vocab) {
      throw new CheckpointError(`${path}: ${token} is ${id}, the vocabulary has ${vocab} tokens.`);
    }
    return id;
  };
  return {
    cls_token_id: idOf('[CLS]'),
    sep_token_id: idOf('[SEP]'),
    pad_token_id: idOf('[PAD]'),
  };
}
