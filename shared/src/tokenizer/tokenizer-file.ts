/** What the three kinds of `tokenizer.json` have in common, and what a key that nothing here knows may say. */
import * as z from 'zod/mini';

/** A key that nobody knows may change the ids: it may stand there as long as it says nothing. */
const Nothing = z.union([z.null(), z.literal([false, '', 0])]);

/** An object of these keys; others must be null, false, 0 or empty. */
export function knownKeys<Shape extends z.core.$ZodLooseShape>(shape: Shape) {
  return z.catchall(z.object(shape), Nothing);
}

/** A key that changes no id here. */
export const Ignored = z.optional(z.unknown());

export const AddedToken = knownKeys({
  id: z.int().check(z.nonnegative()),
  content: z.string(),
  /** Found only where no letter, digit or underscore stands beside it. */
  single_word: z._default(z.boolean(), false),
  /** Takes the white space on its left, or right, with it. */
  lstrip: z._default(z.boolean(), false),
  rstrip: z._default(z.boolean(), false),
  /** Found in the normalized text, rather than in the text itself; where left out, unless `special`. */
  normalized: z.optional(z.boolean()),
  special: z._default(z.boolean(), false),
});
export type AddedToken = Pick<
  z.infer<typeof AddedToken>,
  'id' | 'content' | 'single_word' | 'lstrip' | 'rstrip' | 'normalized' | 'special'
>;

/**
 * Keys beside `normalizer`, `pre_tokenizer`, `decoder` and `model`. `truncation` and `padding` are what the last call
 * before saving left behind: `transformers` sets both anew in each call. What `post_processor` puts around a text is put
 * there by whoever makes a prompt; the model builder checks that both agree.
 */
export const COMMON_KEYS = {
  version: z.optional(z.literal('1.0')),
  truncation: Ignored,
  padding: Ignored,
  post_processor: Ignored,
  added_tokens: z._default(z.array(AddedToken), []),
};

const MAX_VALUE_LENGTH = 60;

/**
 * The file as its schema reads it.
 * @throws Error naming every key that is missing, or says what is not supported, with its value
 */
export function parseTokenizer<T extends z.ZodMiniType>(schema: T, json: unknown): z.infer<T> {
  const result = schema.safeParse(json);
  if (result.success) return result.data;
  const faults = result.error.issues.map(({ path }) => `${path.join('.')} ${shown(json, path)}`);
  throw new Error(`tokenizer.json is not supported: ${faults.join(', ')}`);
}

function shown(json: unknown, path: readonly PropertyKey[]): string {
  let value = json;
  for (const key of path) value = (value as Record<PropertyKey, unknown> | undefined)?.[key];
  if (value === undefined) return 'is missing';
  const text = JSON.stringify(value);
  return `= ${text.length > MAX_VALUE_LENGTH ? `${text.slice(0, MAX_VALUE_LENGTH)}…` : text}`;
}
