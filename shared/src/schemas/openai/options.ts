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
    z.optional(z.record(z.string(), z.unknown())),
    'Repeated in the reply at most.',
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
