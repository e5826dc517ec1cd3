/** The files that a batch wrote: nothing is stored for them, their lines are rendered from its results. */
import type { OpenAiFile } from '@blip2/shared/schemas/openai/files';
import type { Dependencies } from '../../dependencies.ts';
import { ENDED, ID_PREFIXES, type JobSnapshot } from '../../jobs/contract.ts';
import { type AppContext, clientIn } from '../../routes/app-context.ts';
import { findJob } from '../../routes/jobs/job-access.ts';
import { DELETE_AT } from '../../routes/jobs/open-job.ts';
import { inSeconds } from '../../routes/jobs/present.ts';
import { heldOf, rendered } from '../../routes/jobs/rendered-lines.ts';
import { measured, type RenderedLines } from '../../routes/jobs/rendered-size.ts';
import { batchLineText } from '../../routes/jobs/result-lines.ts';
import { type HeldReply, holdReply } from '../../routes/large-reply.ts';

const FORM = /^file-([0-9a-f]{96})-(output|errors)$/;
type Kind = 'output' | 'errors';

/** @example batchFileId('3f0c…', 'output') // 'file-3f0c…-output' */
export function batchFileId(batch: string, kind: Kind): string {
  return `file-${batch}-${kind}`;
}

export type BatchFile = {
  shownId: string;
  kind: Kind;
  snapshot: JobSnapshot;
  /** Counts what they take as they are read. @throws as `holdReply` */
  held: () => { sending: HeldReply; lines: RenderedLines };
  /** Deletes it. */
  remove: () => Promise<void>;
};

/** @returns null where the id is none of a file that a batch of this caller wrote */
export async function findBatchFile(
  c: AppContext,
  deps: Dependencies,
  shownId: string,
): Promise<BatchFile | null> {
  const [, batch, kind] = FORM.exec(shownId) ?? [];
  if (batch === undefined) return null;
  const found = await findJob(c, deps, 'batch', `${ID_PREFIXES.batch}${batch}`);
  if (found === null || !ENDED.has(found.snapshot.state) || found.snapshot.parts === 0) return null;
  const { id, job, snapshot } = found;
  const which = kind === 'output' ? 'completed' : 'failed';
  if (snapshot.deleted.includes(which)) return null;
  const held = () => {
    const sending = holdReply(c, deps.config, heldOf(snapshot, which));
    const lines = rendered(deps, clientIn(c, deps.config), snapshot, {
      from: null,
      which,
      overGaps: true,
      head: '',
      write: (line) => batchLineText(line, batch),
      onMade: sending.onMade,
    });
    return { sending, lines };
  };
  const remove = () => job.deleteResults(id, which);
  return { shownId, snapshot, held, kind: kind as Kind, remove };
}

/** What a file of a batch is. Its size is counted. */
export async function shownBatchFile({
  shownId,
  kind,
  snapshot,
  held,
}: BatchFile): Promise<OpenAiFile> {
  const { completedAt, cancelledAt, expiredAt, createdAt, id, order } = snapshot;
  const { [DELETE_AT]: deleteAt } = order.extra ?? {};
  const endedAt = completedAt ?? cancelledAt ?? expiredAt ?? createdAt;
  const { sending, lines } = held();
  const { bytes } = await measured(lines, shownId).finally(sending.onEnd);
  return {
    id: shownId,
    object: 'file',
    bytes,
    created_at: inSeconds(endedAt),
    expires_at: typeof deleteAt === 'number' ? inSeconds(deleteAt) : null,
    filename: `${ID_PREFIXES.batch}${id}_${kind}.jsonl`,
    purpose: 'batch_output',
    status: 'processed',
  };
}
