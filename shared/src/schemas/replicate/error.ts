/** Errors as Replicate's clients read them. */
import * as z from 'zod/mini';
import { Problem } from '../../errors.ts';
import { described } from '../described.ts';

export const ReplicateError = described(
  z.object(Problem.shape),
  'An error in the form of Replicate, which is that of a problem document; its status may be another.',
);
export type ReplicateError = z.infer<typeof ReplicateError>;
