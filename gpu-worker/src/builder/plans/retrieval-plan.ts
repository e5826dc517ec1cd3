/** The bundle of a `Blip2ForImageTextRetrieval` checkpoint: its graphs, its manifest. */
import type { Precision } from '@blip2/shared/precision';
import { Checkpoint } from '../checkpoint/checkpoint.ts';
import type { TensorSource } from '../checkpoint/tensor-source.ts';
import { readQFormerText } from '../checkpoint/tokenizer/qformer-text.ts';
import { composeTokenizer } from '../checkpoint/tokenizer-file.ts';
import { readImageProcessor } from '../config/image-processor.ts';
import { readRetrievalConfig } from '../config/model-config.ts';
import { imageInput, preprocessingIdentity } from '../config/preprocessing.ts';
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
      text: readQFormerText(await composeTokenizer(folder), qformer, folder),
      itc_hidden: itcHidden,
      graphs: descriptionsOf(graphs),
    },
  };
}
