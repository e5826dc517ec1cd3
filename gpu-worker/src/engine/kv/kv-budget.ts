/** Bounds the memory of keys and values, bytes: slots alone say little of it, since a slot may hold 20 positions or 2048. */
import type { GenerativeManifest } from '@blip2/shared/bundle-manifest';
import { ApiError } from '@blip2/shared/errors';
import type { GenerationConfig } from '@blip2/shared/wire';
import { type Capacity, mostPositions } from './kv-cache.ts';

/** What a group's sequences may come to hold. `slots`: those that it has or may still ask for. */
export type KvNeed = { slots: number; promptIds: number; maxTokens: number };

/** Tokens of a short request: of its prompt, and of its text. */
const SHORT = { most: 256, least: 16 };
/** What a short request has at most, where memory is not little. */
export const SHORT_REQUEST: KvNeed = { slots: 2, promptIds: SHORT.most, maxTokens: SHORT.most };
/** A group as wide as is usual, with the two to spare. */
const USUAL_SLOTS = 10;

type Generation = Pick<GenerationConfig, 'n' | 'num_beams' | 'max_tokens'>;

/** `crossPositions`: of the cache of T5's encoder; 0 where there is none. */
export type KvCapacity = Capacity & { crossPositions: number };

type Model = Pick<GenerativeManifest, 'family' | 'num_query_tokens'> & {
  decoder: Pick<GenerativeManifest['decoder'], 'layers' | 'heads' | 'head_dim' | 'max_positions'>;
};

/**
 * A cache has as many positions in each slot as the longest sequence needs.
 * @example new KvBudget(manifest, 2 ** 32).fits([{ slots: 8, promptIds: 1900, maxTokens: 20 }])
 */
export class KvBudget {
  readonly limit: number;
  /**
   * What all others leave: two slots for short requests. They are as long as the longest beside them; where others are short
   * too, they are for so many tokens, fewer where memory is little.
   */
  readonly spare: KvNeed;
  readonly #model: Model;

  /** @param limit bytes */
  constructor(model: Model, limit: number) {
    this.#model = model;
    this.limit = limit;
    let tokens = SHORT.most;
    const short = (slots: number): KvNeed => ({ slots, promptIds: tokens, maxTokens: tokens });
    while (tokens > SHORT.least && !this.fits([short(USUAL_SLOTS)])) tokens /= 2;
    this.spare = short(SHORT_REQUEST.slots);
  }

  /**
   * Whether sequences of all these may run together.
   * @param part of the limit that they may have
   */
  fits(needs: readonly KvNeed[], part = 1): boolean {
    return this.bytesOf(needs) <= part * this.limit;
  }

  /**
   * @throws ApiError `invalid-request` where a request would wait for memory for ever; it says what to lower
   * @example budget.expect(config, inputIds.length)
   */
  expect({ n, num_beams, max_tokens: maxTokens }: Generation, promptIds: number): void {
    const need = { slots: Math.max(n, num_beams), promptIds, maxTokens };
    if (this.fits([need, this.spare])) return;
    let most = need.slots - 1;
    while (most > 0 && !this.fits([{ ...need, slots: most }, this.spare])) most--;
    const several = num_beams > n ? 'num_beams' : 'n';
    const field = most > 0 ? several : 'max_tokens';
    const lower =
      most > 0 ? `lower ${several} to ${most} at most, or max_tokens` : 'lower max_tokens';
    const [wanted, limit] = [this.bytesOf([need, this.spare]), this.limit].map(inMebibytes);
    const detail = `${field}: ${need.slots} ${need.slots === 1 ? 'text' : 'texts'} of up to ${maxTokens} tokens after a prompt of ${promptIds} need ${wanted} MiB for keys and values, with two slots for short requests of others, and this worker has ${limit} MiB: ${lower}, or shorten the prompt.`;
    throw new ApiError('invalid-request', detail, { field });
  }

  /** Of all of them together, when each has come to its end: not less than the caches will have. */
  bytesOf(needs: readonly KvNeed[]): number {
    const { slots, positions, crossPositions } = this.capacityOf(needs);
    return slots * (positions + crossPositions) * bytesOfPosition(this.#model);
  }

  /** The most that the caches need for all of them. */
  capacityOf(needs: readonly KvNeed[]): KvCapacity {
    const { family, num_query_tokens, decoder } = this.#model;
    const isT5 = family === 't5';
    const most = (of: (need: KvNeed) => number) =>
      mostPositions(Math.max(...needs.map(of)), { maxPositions: decoder.max_positions });
    const prompt = ({ promptIds }: KvNeed) => num_query_tokens + promptIds;
    const slots = needs.reduce((sum, need) => sum + need.slots, 0);
    return {
      // Runs have an even number of rows.
      slots: slots + (slots % 2),
      positions: most((need) => (isT5 ? 1 : prompt(need)) + need.maxTokens),
      crossPositions: isT5 ? most(prompt) : 0,
    };
  }
}

const inMebibytes = (bytes: number) => Math.ceil(bytes / 2 ** 20);

/** Keys and values of one position in all layers, float32. */
function bytesOfPosition({ decoder: { layers, heads, head_dim } }: Model): number {
  return Float32Array.BYTES_PER_ELEMENT * 2 * layers * heads * head_dim;
}

/** One sequence as long as the model has positions, the slot beside it, and the two to spare: the least that a worker needs, bytes. */
export function leastBudget(model: Model): number {
  const caches = model.family === 't5' ? 2 : 1;
  return 4 * caches * model.decoder.max_positions * bytesOfPosition(model);
}
