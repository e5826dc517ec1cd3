/** Types of an open checkpoint, and of the options for opening one. */
import type { RevisionInput } from '../revision.ts';
import type { BaseOptions } from './base-folder.ts';
import type { TensorSource } from './tensor-source.ts';

export type OpenOptions = BaseOptions & {
  /** Keys of the checkpoint's files that are ignored. */
  ignored?: readonly string[];
};

/** A checkpoint whose weights were not read yet. Disposing removes what was written to describe it. */
export type OpenCheckpoint = AsyncDisposable & {
  name: string;
  /** What a model's name has behind it when it is not the base's: `+lora`. */
  suffix: string;
  /** Holds config.json, tokenizer and processor: the checkpoint's own folder, or one laid together of several. */
  folder: string;
  /** A message about that folder in terms of those that its files come from. */
  explain: (message: string) => string;
  tensors: TensorSource;
  /** Everything that decides what the weights are. */
  inputs: RevisionInput[];
  /** Size of the weights files. */
  bytes: number;
};
