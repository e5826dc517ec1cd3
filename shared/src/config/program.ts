/** The description of a program: how it is called, what it does, which options it has. */
import type { Options, Values } from './option.ts';

export type Program<O extends Options = Options> = {
  /** What is typed before the flags. @example 'npm start --' */
  command: string;
  /** Names of the arguments that are no flags, in order; a last one that ends in … is any number. @example ['<name>'] */
  arguments?: readonly string[];
  /** One sentence. */
  summary: string;
  /** Further lines of the help text, as they are printed. */
  details?: string;
  options: O;
  /** Options of all programs that share an environment with this one: other variables that begin as theirs are noticed. */
  family?: Options;
};

/** The configuration of a program: values of its options, and its arguments that are no flags. */
export type Configuration<O extends Options> = { values: Values<O>; positionals: string[] };
