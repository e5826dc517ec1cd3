/** Describes a bundle: the rows of `npm run model -- info`. */
import type { BundleManifest } from '@blip2/shared/bundle-manifest';
import { readGenerativeConfig, readManifest } from '../builder/index.ts';

export async function describeBundle(bundle: string): Promise<Record<string, string>> {
  const manifest = await readManifest(bundle);
  const { image, files } = manifest;
  const megabytes = files.reduce((sum, { bytes }) => sum + bytes, 0) / 1e6;
  return {
    bundle,
    name: manifest.name,
    kind: `${manifest.kind}, ${manifest.family}, ${manifest.precision}`,
    revision: manifest.revision,
    size: `${megabytes.toFixed(1)} MB in ${files.length} files`,
    image: `${image.size} px, patches of ${image.patch}, ${manifest.image_tokens} tokens of width ${manifest.vision_hidden}`,
    preprocessing: `${manifest.preprocessing} (${image.resample})`,
    queries: `${manifest.num_query_tokens} query embeddings of width ${manifest.qformer_hidden}`,
    ...(await textRows(bundle, manifest)),
    license: manifest.license ?? 'not stated',
  };
}

/** What the bundle does with text. */
async function textRows(bundle: string, manifest: BundleManifest): Promise<Record<string, string>> {
  if (manifest.kind === 'retrieve') {
    const { text, itc_hidden } = manifest;
    return {
      text: `${text.vocab} tokens, ${text.max_positions} positions`,
      itc: `embeddings of width ${itc_hidden}`,
    };
  }
  const { decoder, eos_token_ids, generation, instruction } = manifest;
  // Serving a bundle does not need its encoder's depth: the manifest does not have it.
  const { text_config: text } = await readGenerativeConfig(bundle);
  return {
    ...(instruction === undefined
      ? {}
      : {
          instruction: `read by the Q-Former: ${instruction.vocab} tokens, ${instruction.max_positions} positions`,
        }),
    ...(text.model_type === 't5'
      ? { encoder: `${text.num_layers} layers of width ${text.d_model}` }
      : {}),
    decoder: `${decoder.layers} layers of width ${decoder.hidden}, ${decoder.heads} heads of width ${decoder.head_dim}, ${decoder.vocab} tokens, ${decoder.max_positions} positions`,
    stops: `end token ${eos_token_ids.join(' or ')}; at most ${generation.max_new_tokens} tokens by default`,
  };
}
