/** Members that requests of OpenAI's clients share: those that mean something here, and those that change no text. */
import * as z from 'zod/mini';
import { described } from '../described.ts';
import { generationOptions } from '../generation.ts';

/** All of our own options of a generation but what each route says in its own way. */
const {
  stream,
  logprobs: _logprobs,
  top_logprobs: _top,
  n: _n,
  seed: _seed,
  ...own
} = generationOptions;

/** Options of a text that both routes take, ours among them, under the names that they have everywhere. */
export const textOptions = {
  ...own,
  stream,
  seed: described(
    z.optional(z.int({ error: 'must be a whole number' })),
    'Seed of the sampling: the same seed and request give the same text. Those that differ by 2^32 are the same.',
    7,
  ),
};

const anything = (description: string) =>
  described(z.optional(z.array(z.looseObject({}))), description);

const METADATA_LIMIT =
  'must have at most 16 members, of at most 512 characters, under names of at most 64';

/** As OpenAI bounds it: a reply repeats it. Values that are no text count as their JSON. */
function isSmall(metadata: Record<string, unknown>): boolean {
  const pairs = Object.entries(metadata);
  if (pairs.length > 16) return false;
  return pairs.every(([name, value]) => {
    const text = typeof value === 'string' ? value : JSON.stringify(value);
    return name.length <= 64 && (text ?? '').length <= 512;
  });
}

/** Members that change nothing of what a model says, and are not read. */
export const accepted = {
  user: described(z.optional(z.string()), 'Accepted and not read.', 'user-1'),
  safety_identifier: described(z.optional(z.string()), 'Accepted and not read.'),
  prompt_cache_key: described(z.optional(z.string()), 'Accepted and not read.'),
  prompt_cache_retention: described(z.optional(z.string()), 'Accepted and not read.'),
  service_tier: described(z.optional(z.string()), 'Accepted and not read: there is one.', 'auto'),
  store: described(
    z.optional(z.boolean()),
    'No response is stored, whatever it says. `false` also forgets the text of a response at once, which a later request may else refer to for an hour.',
    false,
  ),
  metadata: described(
    z.optional(z.record(z.string(), z.unknown()).check(z.refine(isSmall, METADATA_LIMIT))),
    'Repeated in the reply at most: up to 16 members, of up to 512 characters, under names of up to 64.',
  ),
  parallel_tool_calls: described(z.optional(z.boolean()), 'Accepted: no tool is called.', true),
  tools: anything('Accepted: no tool is called, and the reply is text.'),
};

/** What `tool_choice` may be: a call that must be made cannot. */
export const toolChoice = described(
  z.optional(z.union([z.string(), z.looseObject({})])),
  '`auto` or `none`: no tool is called.',
  'auto',
);
