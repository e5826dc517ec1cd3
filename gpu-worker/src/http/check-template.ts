/** Refuses ids that no text becomes: control tokens of a model stand where its template puts them, and nowhere else. */
import type { GenerativeManifest, RetrievalManifest } from '@blip2/shared/bundle-manifest';
import { promptFrame } from '@blip2/shared/edge-model';
import { ApiError } from '@blip2/shared/errors';

/** Control tokens around a text, and those that are never in it. */
export type Template = {
  prefix: readonly number[];
  suffix: readonly number[];
  controls: ReadonlySet<number>;
};

/**
 * Of a prompt. Which special tokens a tokenizer has besides is not known here. A token that ends answers may be a word, as the line
 * break of OPT is, which prompts may have.
 */
export function promptTemplate(manifest: GenerativeManifest): Template {
  const { prompt_prefix: prefix, prompt_suffix: suffix } = promptFrame(manifest);
  const frame = [...prefix, ...suffix];
  const ends = new Set(manifest.eos_token_ids.filter((id) => !frame.includes(id)));
  const { pad_token_id, decoder } = manifest;
  const start = manifest.family === 't5' ? [manifest.decoder_start_token_id] : [];
  const controls = [...frame, pad_token_id, decoder.image_token_id, ...start];
  return { prefix, suffix, controls: new Set(controls.filter((id) => !ends.has(id))) };
}

/** Of a text that a Q-Former reads. */
export function textTemplate(text: RetrievalManifest['text']): Template {
  const { cls_token_id, sep_token_id, pad_token_id } = text;
  return {
    prefix: [cls_token_id],
    suffix: [sep_token_id],
    controls: new Set([cls_token_id, sep_token_id, pad_token_id]),
  };
}

/**
 * @example checkTemplate('input_ids', [2, 50265], promptTemplate(manifest)) // throws: control token 50265 at position 1
 * @throws ApiError invalid-request that names the first id that no text becomes, or the control token that is missing
 */
export function checkTemplate(
  field: string,
  ids: readonly number[],
  { prefix, suffix, controls }: Template,
): void {
  const end = ids.length - suffix.length;
  const isWhole =
    end >= prefix.length &&
    prefix.every((id, i) => ids[i] === id) &&
    suffix.every((id, i) => ids[end + i] === id);
  if (!isWhole) {
    const frame = `[${[...prefix, '…', ...suffix].join(', ')}]`;
    throw refusal(field, `the ids must be those of this model's template, ${frame}`);
  }
  const at = ids.findIndex((id, i) => i >= prefix.length && i < end && controls.has(id));
  if (at < 0) return;
  throw refusal(field, `control token ${ids[at]} at position ${at}, where only text may be`);
}

function refusal(field: string, detail: string): ApiError {
  return new ApiError('invalid-request', `${field}: ${detail}.`, { field });
}
