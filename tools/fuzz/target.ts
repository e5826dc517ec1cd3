/** What a target of fuzzing is: how its inputs are made, and what must hold for each of them and after all of them. */
import type * as fc from 'fast-check';
import type { FuzzStack } from './stack.ts';

/** What the targets of a run share. */
export type Shared = {
  /** The whole service, started when the first target asks for it. */
  stack: () => Promise<FuzzStack>;
};

export type Target<Input = unknown> = {
  name: string;
  /** What gets the inputs, in a few words. */
  about: string;
  /** Its part of all cases; the parts of all targets need not add up to anything. */
  share: number;
  /** How many inputs are under way at once. */
  lanes: number;
  open: (shared: Shared) => Promise<OpenTarget<Input>>;
};

export type OpenTarget<Input = unknown> = AsyncDisposable & {
  /** Inputs are data: what {@link encodeInput} can write. */
  inputs: fc.Arbitrary<Input>;
  /**
   * Gives the input to what is tested.
   * @returns the kind of outcome, for the summary: few words, few kinds
   * @throws Violation, or whatever the tested code should not have thrown
   */
  run: (input: Input) => Promise<string>;
  /** Checks what must hold when all inputs have been run. @throws Violation */
  settle?: () => Promise<void>;
};

/** A target whose inputs are of a type that only it knows. */
export type AnyTarget = Omit<Target, 'open'> & {
  // biome-ignore lint/suspicious/noExplicitAny: what makes the inputs is what gets them.
  open: (shared: Shared) => Promise<OpenTarget<any>>;
};
