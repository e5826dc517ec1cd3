/** Names of LAVIS's checkpoints, the paper's own, and what transformers calls the same tensors. */
import { CheckpointError } from '../errors.ts';
import {
  joined,
  renamed,
  reshaped,
  type StoredTensor,
  type TensorSource,
  zeros,
} from './tensor-source.ts';

export type LavisKind = 'opt' | 't5' | 'retrieve';

export function isLavis(tensors: TensorSource): boolean {
  return tensors.keys().some((name) => name.startsWith('Qformer.'));
}

/** A pattern of a name, and what stands in its place; null for tensors that only training reads. */
type Rule = readonly [pattern: RegExp, replacement: string | null];

const MODEL: readonly Rule[] = [
  [/^query_tokens$/, 'query_tokens'],
  [/^ln_vision\./, 'vision_model.post_layernorm.'],
  [/^Qformer\.bert\.embeddings\.LayerNorm\./, 'qformer.layernorm.'],
  [/^Qformer\.bert\.embeddings\.position_ids$/, null],
  [/^Qformer\.bert\.embeddings\.(word|position)_embeddings\./, 'embeddings.$1_embeddings.'],
  [
    /^Qformer\.bert\.encoder\.(layer\.\d+\.(?:cross)?attention)\.self\./,
    'qformer.encoder.$1.attention.',
  ],
  [/^Qformer\.bert\.encoder\./, 'qformer.encoder.'],
  // The head that grounded generation trains: of stage 1, and of no use to a retrieval model.
  [/^Qformer\.cls\./, null],
  [/^temp$/, null],
  [/^(opt|t5)_proj\./, 'language_projection.'],
  [/^(opt|t5)_model\./, 'language_model.'],
  [/^(vision|text)_proj\./, '$1_projection.'],
  [/^itm_head\./, 'itm_head.'],
];

const BLOCK = 'vision_model.encoder.layers.$1';

/** Of EVA-CLIP's ViT-g. */
const EVA: readonly Rule[] = [
  [/^cls_token$/, 'vision_model.embeddings.class_embedding'],
  [/^pos_embed$/, 'vision_model.embeddings.position_embedding'],
  [/^patch_embed\.proj\./, 'vision_model.embeddings.patch_embedding.'],
  [/^blocks\.(\d+)\.norm([12])\./, `${BLOCK}.layer_norm$2.`],
  [/^blocks\.(\d+)\.attn\.proj\./, `${BLOCK}.self_attn.projection.`],
  [/^blocks\.(\d+)\.attn\.(qkv\.weight|q_bias|v_bias)$/, `${BLOCK}.self_attn.$2`],
  [/^blocks\.(\d+)\.mlp\.(fc[12])\./, `${BLOCK}.mlp.$2.`],
];

/** Of CLIP's ViT-L. */
const CLIP: readonly Rule[] = [
  [/^class_embedding$/, 'vision_model.embeddings.class_embedding'],
  [/^positional_embedding$/, 'vision_model.embeddings.position_embedding'],
  [/^conv1\.weight$/, 'vision_model.embeddings.patch_embedding.weight'],
  [/^ln_pre\./, 'vision_model.pre_layernorm.'],
  [/^transformer\.resblocks\.(\d+)\.ln_([12])\./, `${BLOCK}.layer_norm$2.`],
  [/^transformer\.resblocks\.(\d+)\.attn\.in_proj_(weight|bias)$/, `${BLOCK}.self_attn.qkv.$2`],
  [/^transformer\.resblocks\.(\d+)\.attn\.out_proj\./, `${BLOCK}.self_attn.projection.`],
  [/^transformer\.resblocks\.(\d+)\.mlp\.c_fc\./, `${BLOCK}.mlp.fc1.`],
  [/^transformer\.resblocks\.(\d+)\.mlp\.c_proj\./, `${BLOCK}.mlp.fc2.`],
];

/** What the image encoders' own files hold and LAVIS does not load: what follows the last block. */
const BEHIND_ENCODER: readonly Rule[] = [
  [/^(norm|fc_norm|head|ln_post|lm_head)\./, null],
  [/^(proj|mask_token)$/, null],
];

const ENCODER = 'visual_encoder.';

/**
 * A checkpoint's tensors under transformers' names, and what it is of.
 * @throws CheckpointError naming a tensor that is none of BLIP-2's
 */
export function fromLavis(
  tensors: TensorSource,
  path: string,
): { kind: LavisKind; tensors: TensorSource } {
  const kind = kindOf(tensors, path);
  const encoder = new Map<string, StoredTensor>();
  const model = new Map<string, StoredTensor>();
  for (const [name, tensor] of tensors) {
    if (name.startsWith(ENCODER)) encoder.set(name.slice(ENCODER.length), tensor);
    else model.set(name, tensor);
  }
  const rest = renamed(model, (name) => apply(MODEL, name, path));
  return { kind, tensors: new Map([...encoderTensors(encoder, [], path), ...rest]) };
}

/** The tensors of `eva_vit_g.pth` or `clip_vit_L.pth` under transformers' names. */
export function fromImageEncoder(tensors: TensorSource, path: string): TensorSource {
  return encoderTensors(tensors, BEHIND_ENCODER, path);
}

const INSTRUCT_REMEDY =
  'InstructBLIP is read as transformers saves it, on FlanT5: Salesforce/instructblip-flan-t5-xl or -xxl';

function kindOf(tensors: TensorSource, path: string): LavisKind {
  const has = (start: string) => tensors.keys().some((name) => name.startsWith(start));
  const fail = (why: string) => new CheckpointError(`${path} ${why}.`);
  if (has('llm_proj.') || has('llm_model.')) {
    throw fail(`is an InstructBLIP of LAVIS with Vicuna: not supported. ${INSTRUCT_REMEDY}`);
  }
  const kind = has('opt_proj.') ? 'opt' : has('t5_proj.') ? 't5' : 'retrieve';
  const readsText = has('Qformer.bert.embeddings.word_embeddings.');
  if (kind !== 'retrieve' && readsText) {
    throw fail(
      `is an InstructBLIP of LAVIS, whose Q-Former reads the instruction: not supported. ${INSTRUCT_REMEDY}`,
    );
  }
  if (kind === 'retrieve' && !(readsText && has('itm_head.'))) {
    throw fail(
      'has neither a language projection (opt_proj, t5_proj) nor the heads of stage 1 (itm_head): it is a part of a model',
    );
  }
  return kind;
}

function encoderTensors(tensors: TensorSource, more: readonly Rule[], path: string): TensorSource {
  const isClip = tensors.has('conv1.weight');
  const rules = [...(isClip ? CLIP : EVA), ...more];
  const result = renamed(tensors, (name) => apply(rules, name, path));
  if (isClip) addClipShapes(result);
  else addQkvBiases(result);
  return result;
}

/** EVA learns no bias of the keys. */
function addQkvBiases(tensors: Map<string, StoredTensor>): void {
  for (const [name, query] of [...tensors]) {
    if (!name.endsWith('.self_attn.q_bias')) continue;
    const prefix = name.slice(0, -'q_bias'.length);
    const value = tensors.get(`${prefix}v_bias`);
    if (value === undefined) continue;
    tensors.set(`${prefix}qkv.bias`, joined([query, zeros(value.shape), value]));
    tensors.delete(name);
    tensors.delete(`${prefix}v_bias`);
  }
}

/** CLIP's embeddings have fewer dimensions, and its patches no bias. */
function addClipShapes(tensors: Map<string, StoredTensor>): void {
  const prefix = 'vision_model.embeddings';
  const [classToken, positions, kernel] = [
    'class_embedding',
    'position_embedding',
    'patch_embedding.weight',
  ].map((name) => tensors.get(`${prefix}.${name}`));
  if (classToken !== undefined) {
    tensors.set(`${prefix}.class_embedding`, reshaped(classToken, [1, 1, ...classToken.shape]));
  }
  if (positions !== undefined) {
    tensors.set(`${prefix}.position_embedding`, reshaped(positions, [1, ...positions.shape]));
  }
  if (kernel !== undefined) {
    tensors.set(`${prefix}.patch_embedding.bias`, zeros(kernel.shape.slice(0, 1)));
  }
}

function apply(rules: readonly Rule[], name: string, path: string): string | null {
  const rule = rules.find(([pattern]) => pattern.test(name));
  if (rule === undefined) {
    throw new CheckpointError(`${path}: the tensor "${name}" is none of LAVIS's BLIP-2.`);
  }
  const [pattern, replacement] = rule;
  return replacement === null ? null : name.replace(pattern, replacement);
}
