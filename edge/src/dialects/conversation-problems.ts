/** What can be wrong with a conversation, its image, or the work on it, in every dialect that has them. */
import type { ProblemSlug } from '@blip2/shared/errors';
import { JSON_REQUEST, LOOKUP, WORK } from '../routes/problem-lists.ts';

export const CONVERSATION: readonly ProblemSlug[] = [
  ...JSON_REQUEST,
  ...WORK,
  ...LOOKUP,
  'unsupported-parameter',
  'model-not-found',
];
