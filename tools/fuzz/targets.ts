/** All targets of fuzzing, in the order in which they run. */
import type { AnyTarget } from './target.ts';
import { API } from './targets/api.ts';
import { CHECKPOINTS } from './targets/checkpoints.ts';
import { COMMAND_LINE } from './targets/command-line.ts';
import { DOOR } from './targets/door.ts';
import { EMBEDDING_VALUES } from './targets/embedding-values.ts';
import { FRAMES } from './targets/frames.ts';
import { IMAGES } from './targets/images.ts';
import { JOBS } from './targets/jobs.ts';
import { KV } from './targets/kv.ts';
import { KV_REPLIES } from './targets/kv-replies.ts';
import { RAW_HTTP } from './targets/raw-http.ts';

export const TARGETS: readonly AnyTarget[] = [
  FRAMES,
  EMBEDDING_VALUES,
  COMMAND_LINE,
  ...CHECKPOINTS,
  API,
  DOOR,
  IMAGES,
  KV,
  KV_REPLIES,
  JOBS,
  RAW_HTTP,
];

/** How many of all cases each of some targets gets: by its share, at least one. */
export function casesOf(targets: readonly AnyTarget[], cases: number): Map<AnyTarget, number> {
  const shares = targets.reduce((sum, { share }) => sum + share, 0);
  return new Map(
    targets.map((target) => [target, Math.max(1, Math.round((cases * target.share) / shares))]),
  );
}
