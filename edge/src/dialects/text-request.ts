/** What the dialects' requests of text have in common: options, and what is refused because it would change the text. */

import type { GenerationOptions } from '@blip2/shared/generation/generation-options';
import { generationOptions } from '@blip2/shared/schemas/generation';
import { refuse } from './refuse.ts';

/** Names of our own options, under which a body has them. */
const OPTION_NAMES = Object.keys(generationOptions).filter((name) => name !== 'stream');

/** A seed of ours has 32 bits; those of other services have more, or a sign. */
const SEEDS = 2 ** 32;

/**
 * Our options of a generation among the members of a body. As with OpenAI, several texts are samples where nothing else
 * is said.
 */
export function generationOptionsOf(body: Readonly<Record<string, unknown>>): GenerationOptions {
  const options = Object.fromEntries(
    OPTION_NAMES.filter((name) => body[name] !== undefined).map((name) => [name, body[name]]),
  ) as GenerationOptions;
  const { seed, n = options.num_return_sequences ?? 1 } = options;
  const isDecided = ['temperature', 'do_sample', 'num_beams'].some((name) => name in options);
  return {
    ...options,
    ...(seed !== undefined && { seed: ((seed % SEEDS) + SEEDS) % SEEDS }),
    ...(n > 1 && !isDecided && { temperature: 1 }),
  };
}

/** What both of OpenAI's routes of text refuse. */
export function refuseUnsupported({ tool_choice, function_call }: ToolChoices): void {
  for (const [field, choice] of Object.entries({ tool_choice, function_call })) {
    const mayAnswer = choice === undefined || choice === 'auto' || choice === 'none';
    // The list of tools that may be called, and need not.
    const isChoice = typeof choice === 'object' && choice.mode === 'auto';
    refuse(
      field,
      !(mayAnswer || isChoice),
      'this model calls no tools, and answers in text: use auto or none',
    );
  }
}

type ToolChoice = string | Record<string, unknown> | undefined;
/** Under its name, and the one that it had before. */
type ToolChoices = { tool_choice?: ToolChoice; function_call?: ToolChoice };

/** What is said of an output format that is not text. */
export const ONLY_TEXT = 'only text is written, and JSON cannot be promised: leave it out';
