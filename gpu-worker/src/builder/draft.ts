/** The temporary folder that a bundle is built in: made where there is room, and removed when its builder is gone. */
import { createHash, randomBytes } from 'node:crypto';
import { readdir, rm, stat, statfs } from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';
import { makeFolder } from '../make-folder.ts';
import { isAlive } from '../process-lock.ts';
import { CheckpointError } from './errors.ts';

export const ADVICE = 'BLIP2_BUNDLES chooses another place for bundles.';

/** Nothing is built that long without a write. */
const DAY_MS = 24 * 3600 * 1000;
/** Of host and process, where the host is named; drafts of older versions name the process alone. */
const DRAFT = /(?:\.([0-9a-f]{8}))?\.(\d+)\.[0-9a-f]{8}\.tmp(?:\.old)?$/;
const HOST = createHash('sha256').update(hostname()).digest('hex').slice(0, 8);

/** Makes the draft of a bundle. @throws Error naming the folder that cannot be made */
export async function makeDraft(bundle: string): Promise<string> {
  const draft = `${bundle}.${HOST}.${process.pid}.${randomBytes(4).toString('hex')}.tmp`;
  await makeFolder(draft, ADVICE);
  return draft;
}

/** Removes the drafts in a folder whose builder is gone. */
export async function removeAbandoned(bundles: string): Promise<void> {
  for (const entry of await readdir(bundles).catch(() => [])) {
    const [draft, host = HOST, pid] = DRAFT.exec(entry) ?? [];
    if (draft === undefined) continue;
    const path = join(bundles, entry);
    // Of another machine, or of a process whose id may have been given again, only the silence tells.
    const isGone = host === HOST && !isAlive(Number(pid));
    if (isGone || (await isSilent(path))) await rm(path, { recursive: true, force: true });
  }
}

async function isSilent(folder: string): Promise<boolean> {
  const entries = await readdir(folder).catch(() => []);
  const times = await Promise.all(
    [folder, ...entries.map((entry) => join(folder, entry))].map(
      async (path) => (await stat(path).catch(() => null))?.mtimeMs ?? 0,
    ),
  );
  return Date.now() - Math.max(...times) > DAY_MS;
}

/** @throws CheckpointError when there is not as much space as the bundle will take */
export async function expectSpace(draft: string, neededBytes: number): Promise<void> {
  const free = await freeBytes(draft);
  if (free < neededBytes) throw tooFull(draft, neededBytes, free);
}

/** What a full disk is called; any other error stays what it is. */
export async function explainFullDisk(
  draft: string,
  neededBytes: number,
  error: unknown,
): Promise<unknown> {
  const { code } = error as NodeJS.ErrnoException;
  if (code !== 'ENOSPC' && code !== 'EDQUOT') return error;
  return tooFull(draft, neededBytes, await freeBytes(draft), error);
}

async function freeBytes(folder: string): Promise<number> {
  const { bavail, bsize } = await statfs(folder);
  return bavail * bsize;
}

function tooFull(draft: string, needed: number, free: number, cause?: unknown): CheckpointError {
  const sizes = `about ${megabytes(needed)} are needed, ${megabytes(free)} are free`;
  const options = cause === undefined ? {} : { cause };
  return new CheckpointError(`${dirname(draft)} is too full: ${sizes}. ${ADVICE}`, options);
}

function megabytes(bytes: number): string {
  return `${Math.ceil(bytes / 1e6)} MB`;
}
