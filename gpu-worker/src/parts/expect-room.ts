/** Whether the embeddings of a part can be put into a bucket: known before hours of work, not after them. */
import type { Models } from '../http/dependencies.ts';
import { embeddingFormat } from '../http/embedding-format.ts';
import { placeOf } from './object-store.ts';
import type { PartTask } from './run-line.ts';

/** The results of a part are in memory when they are put. */
const MAX_BYTES = 2 * 2 ** 30;
const BYTES_OF = { float16: 2, float32: 4 };
/** Of a line, beside its embeddings. */
const REST_BYTES = 500;

type Part = {
  output: string;
  task: PartTask;
  settings: Record<string, unknown>;
  partItems: number;
};

/** @throws Error that says how many lines a part may have */
export function expectRoom({ output, task, settings, partItems }: Part, models: Models): void {
  if (task !== 'embeddings' || placeOf(output) === null) return;
  const embedding = settings.kind === 'itc' ? 'itc' : 'query';
  const { shape, type } = embeddingFormat({ kind: 'embed', embedding }, models);
  const base64 = (4 / 3) * shape.numQueries * shape.hidden * BYTES_OF[type];
  const most = Math.floor(MAX_BYTES / (base64 + REST_BYTES));
  if (partItems <= most) return;
  throw new Error(
    `The embeddings of ${partItems} images are too many bytes for one object: cut the manifest into smaller parts, with --part-items ${most} or less.`,
  );
}
