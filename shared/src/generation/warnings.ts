/** The warnings of a reply: why not to rely on its text. */
import type { EdgeModel } from '../edge-model.ts';
import type { Warning } from '../schemas/generation.ts';
import type { ImageInfo } from '../wire.ts';

/** How a checkpoint is loaded that was trained on photographs. */
const PUBLISHED = 'BLIP2_CHECKPOINT=Salesforce/blip2-opt-2.7b npm start';

/**
 * The member `warnings` of a reply; none where there is nothing to warn of.
 * @example warningsOf({ width: 4, height: 3, format: 'png' }, { name: 'blip2-scenes' }) // {}
 */
export function warningsOf(
  { outside_training }: ImageInfo,
  { name, card }: Pick<EdgeModel, 'name' | 'card'>,
): { warnings?: Warning[] } {
  if (outside_training !== true) return {};
  const summary = card?.summary;
  const knows = summary === undefined ? '' : ` ${name} ${summary}.`;
  const warning: Warning = {
    type: 'outside-training',
    detail: `This image is unlike all that ${name} was trained on, so the text is a guess.${knows}`,
    remedy: `For photographs, documents and drawings, load a published checkpoint: \`${PUBLISHED}\`.`,
  };
  return { warnings: [warning] };
}
