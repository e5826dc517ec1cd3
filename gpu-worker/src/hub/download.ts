/** Downloads one file: resumed where it stopped, verified, and under its own name only when it is whole. */
import { createWriteStream } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { FileError, reasonOf } from '../file-errors.ts';
import { openDraft, sizeOfDraft } from '../regular-file.ts';
import type { HubFile } from './client.ts';
import { feed, newHash } from './digest.ts';
import { HubError, InterruptedError } from './errors.ts';
import { type RetryOptions, retrying } from './retry.ts';
import { StallTimeout } from './stall-timeout.ts';

export type Download = {
  file: HubFile;
  /** Where the file will be; `<target>.incomplete` is what there is of it until then. */
  target: string;
  /** Asks for the bytes from `from` on: answers 206, or 200 with all of them, or 416. */
  open: (from: number, signal: AbortSignal) => Promise<Response>;
  /** Called with the bytes that there are of the file, again and again. */
  onBytes: (bytes: number) => void;
  retry: RetryOptions;
  /** How long a connection may give nothing before it is cut. */
  stallMs: number;
};

/**
 * What stands in `<target>.incomplete` is continued. The requests say no `If-Range`: a commit never
 * changes, but its bytes come from several storages with entity tags of their own. The digest decides.
 * @throws HubError when the bytes are wrong twice, the disk is full, or the hub does not give them
 */
export async function download(job: Download): Promise<void> {
  const isDone = (await receive(job)) || (await receive(job));
  if (isDone) return;
  throw new HubError(
    `${job.file.path} arrived twice with bytes that are not those of the hub's list. Does a proxy or a mirror change them?`,
  );
}

/** Bytes that there are of a file that is not whole. */
export async function partialSize(target: string): Promise<number> {
  return await sizeOfDraft(partialOf(target));
}

/** Whether the file is whole now; if not, its bytes were wrong and have been deleted. */
async function receive(job: Download): Promise<boolean> {
  const partial = partialOf(job.target);
  let furthest = await sizeOfDraft(partial);
  let reached = 0;
  const onBytes = (bytes: number) => {
    reached = bytes;
    job.onBytes(bytes);
  };
  const progressed = () => {
    const isFurther = reached > furthest;
    furthest = Math.max(furthest, reached);
    return isFurther;
  };
  const digest = await retrying(() => attempt({ ...job, onBytes }, partial), {
    ...job.retry,
    unreachable: 'waits',
    progressed,
  });
  if (digest === job.file.digest.hex) {
    await rename(partial, job.target);
    return true;
  }
  await rm(partial);
  job.onBytes(0);
  return false;
}

/** Appends what is missing. @returns the digest of the whole */
async function attempt(job: Download, partial: string): Promise<string> {
  const { file, open, retry, stallMs } = job;
  const present = await sizeOfDraft(partial);
  const hash = newHash(file);
  if (present > 0) await feed(hash, partial);
  if (present > 0 && present >= file.size) return hash.digest('hex');

  using stall = new StallTimeout(stallMs, file.path);
  const response = await open(present, AbortSignal.any([retry.signal, stall.signal]));
  const isContinued = firstByte(response) === present;
  if (!isContinued && response.status !== 200) {
    await response.body?.cancel();
    await rm(partial, { force: true });
    throw new InterruptedError(`The hub has no part of ${file.path} from byte ${present} on.`);
  }
  // A 200 is a server that does no ranges: everything comes again.
  const start = isContinued ? { present, hash } : { present: 0, hash: newHash(file) };
  return await append(job, partial, { ...start, response, stall });
}

/** A response, and what there is before its first byte: how much, and the hash of it. */
type Continuation = {
  present: number;
  hash: ReturnType<typeof newHash>;
  response: Response;
  stall: StallTimeout;
};

async function append(
  { file, onBytes }: Download,
  partial: string,
  { present, hash, response, stall }: Continuation,
): Promise<string> {
  let bytes = present;
  let cut: InterruptedError | undefined;
  onBytes(bytes);
  async function* arriving() {
    try {
      for await (const chunk of response.body ?? []) {
        stall.refresh();
        hash.update(chunk);
        bytes += chunk.length;
        onBytes(bytes);
        yield chunk;
        // More than the list says cannot be the file; its digest will say so.
        if (bytes > file.size) return;
      }
    } catch (cause) {
      // Ends without an error, so that all that came is written.
      cut = asInterrupted(cause, `The download of ${file.path} was cut off.`);
    }
  }
  try {
    const fd = openDraft(partial, present > 0 ? 'end' : 'beginning');
    await pipeline(arriving, createWriteStream(partial, { fd, flush: true }));
  } catch (error) {
    await response.body?.cancel().catch(() => {});
    throw error instanceof FileError
      ? error
      : notWritten(file.path, partial, error as NodeJS.ErrnoException);
  }
  if (cut !== undefined) throw cut;
  if (bytes < file.size) {
    throw new InterruptedError(`${file.path} ended after ${bytes} of ${file.size} bytes.`);
  }
  return hash.digest('hex');
}

/** Position at which a 206 starts. */
function firstByte(response: Response): number | undefined {
  const start = /^bytes (\d+)-/.exec(response.headers.get('content-range') ?? '')?.[1];
  return response.status === 206 && start !== undefined ? Number(start) : undefined;
}

function asInterrupted(cause: unknown, message: string): InterruptedError {
  return cause instanceof InterruptedError ? cause : new InterruptedError(message, { cause });
}

function notWritten(name: string, path: string, cause: NodeJS.ErrnoException): HubError {
  return new HubError(
    `${name} cannot be written to ${path}: ${reasonOf(cause)}. The next pull continues what is there.`,
    { cause },
  );
}

function partialOf(target: string): string {
  return `${target}.incomplete`;
}
