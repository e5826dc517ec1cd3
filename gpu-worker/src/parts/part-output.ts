/** Where the results of a part are put: what was done before a kill is there, and the whole is put once. */
import { createHash } from 'node:crypto';
import { access, link, open, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { waitForClock } from '../hub/retry.ts';
import { makeFolder } from '../make-folder.ts';
import { lock } from '../process-lock.ts';
import { partName } from './manifest.ts';
import { type ObjectStore, type Place, placeOf } from './object-store.ts';

export type PartOutput = AsyncDisposable & {
  /** Whether the whole is there. */
  isDone: () => Promise<boolean>;
  /** How many lines are safe from an earlier run; the next ones are added behind them. */
  resume: () => Promise<number>;
  /** Lines with their ends. When it resolves, they are safe. */
  add: (lines: readonly string[]) => Promise<void>;
  /** Puts the whole, unless it is there: then that stays. @param done lines that it must have. @throws Error where it has others */
  finish: (done: number) => Promise<void>;
};

export type OutputOptions = {
  /** Folder, or s3://bucket/prefix. */
  output: string;
  part: number;
  /** All that decides the lines: results of another order are not gone on with. */
  order: object;
  /** Lines of a checkpoint: in a bucket those of two processes only fit together where they have as many. */
  checkpointItems: number;
  objects: ObjectStore;
};

/** Whether the whole is there: asked before the model is loaded, which takes longer. */
export async function isPartDone({
  output,
  part,
  objects,
}: Omit<OutputOptions, 'order' | 'checkpointItems'>): Promise<boolean> {
  const place = placeOf(output);
  const file = `part-${partName(part)}.jsonl`;
  if (place === null) return await exists(join(output, file));
  const { bucket, key } = place;
  return (await objects.size({ bucket, key: folderOf(key) + file })) !== null;
}

/** The caller disposes of it. */
export async function openOutput(options: OutputOptions): Promise<PartOutput> {
  const { output, part, order, checkpointItems, objects } = options;
  const place = placeOf(output);
  // A folder has one file, in which any number of lines goes on.
  const decisive = place === null ? order : { ...order, checkpointItems };
  const digest = createHash('sha256').update(JSON.stringify(decisive)).digest('hex').slice(0, 12);
  const name = `part-${partName(part)}`;
  return place === null
    ? await inFolder(output, { name, digest })
    : inBucket(place, { name, digest, objects });
}

type Names = { name: string; digest: string };

/** A file that grows beside the output, and gets its name when it is whole. One process at a time works on it. */
async function inFolder(folder: string, { name, digest }: Names): Promise<PartOutput> {
  await makeFolder(folder, '');
  const output = join(folder, `${name}.jsonl`);
  const partial = join(folder, `.${name}.${digest}.partial`);
  const { signal } = new AbortController();
  const owned = await lock(join(folder, `.${name}.lock`), { wait: waitForClock, signal });
  const file = (await exists(output)) ? null : await open(partial, 'a+');
  return {
    isDone: () => exists(output),
    resume: async () => {
      const { lines, bytes } = await wholeLines(partial);
      // What stands behind the last end of a line was being written when its process ended.
      await file?.truncate(bytes);
      return lines;
    },
    add: async (lines) => {
      await file?.appendFile(lines.join(''));
      await file?.datasync();
    },
    finish: async (done) => {
      if (!(await exists(output))) expectLines((await wholeLines(partial)).lines, done, output);
      // Never replaces a file: a rename would.
      await link(partial, output).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== 'EEXIST') throw error;
      });
      for (const other of await readdir(folder)) {
        if (other.startsWith(`.${name}.`) && other.endsWith('.partial')) {
          await rm(join(folder, other), { force: true });
        }
      }
    },
    [Symbol.asyncDispose]: async () => {
      await file?.close();
      await owned[Symbol.asyncDispose]();
    },
  };
}

function expectLines(actual: number, done: number, output: string): void {
  if (actual === done) return;
  throw new Error(
    `${output} was not put: of ${done} lines ${actual} are there. Run the part again, in one process.`,
  );
}

async function exists(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}

/** What keys in it begin with. */
function folderOf(key: string): string {
  return key === '' || key.endsWith('/') ? key : `${key}/`;
}

const NEW_LINE = 10;

async function wholeLines(path: string): Promise<{ lines: number; bytes: number }> {
  await using file = await open(path);
  let [lines, bytes, at] = [0, 0, 0];
  for await (const chunk of file.createReadStream({ autoClose: false })) {
    for (const [index, byte] of (chunk as Buffer).entries()) {
      if (byte !== NEW_LINE) continue;
      lines++;
      bytes = at + index + 1;
    }
    at += chunk.length;
  }
  return { lines, bytes };
}

/** An object for each checkpoint, and one of all of them at the end. Of two processes at one part, each line of one counts. */
function inBucket(
  { bucket, key }: Place,
  { name, digest, objects }: Names & { objects: ObjectStore },
): PartOutput {
  const prefix = folderOf(key);
  const output = { bucket, key: `${prefix}${name}.jsonl` };
  const checkpoints = { bucket, key: `${prefix}checkpoints/${name}/` };
  const own = `${checkpoints.key}${digest}/`;
  let lines = 0;
  const removeCheckpoints = async () => {
    for (const each of await objects.keys(checkpoints)) await objects.delete({ bucket, key: each });
  };
  return {
    isDone: async () => {
      if ((await objects.size(output)) === null) return false;
      await removeCheckpoints();
      return true;
    },
    resume: async () => {
      lines = 0;
      // Each is named by its first line and the one behind its last.
      for (const each of await objects.keys({ bucket, key: own })) {
        const [, first, end] = /(?<!\d)(\d+)-(\d+)\.jsonl$/.exec(each) ?? [];
        if (Number(first) === lines) lines = Number(end);
      }
      return lines;
    },
    add: async (added) => {
      const end = lines + added.length;
      const digits = (number: number) => String(number).padStart(7, '0');
      const place = { bucket, key: `${own}${digits(lines)}-${digits(end)}.jsonl` };
      await objects.putOnce(place, Buffer.from(added.join('')));
      lines = end;
    },
    finish: async (done) => {
      const bodies: Buffer[] = [];
      let at = 0;
      for (const each of await objects.keys({ bucket, key: own })) {
        const [, first, end] = /(?<!\d)(\d+)-(\d+)\.jsonl$/.exec(each) ?? [];
        if (Number(first) !== at) continue;
        bodies.push(await buffer(await objects.read({ bucket, key: each })));
        at = Number(end);
      }
      // Where another process has put the whole, it may have deleted some of these.
      if ((await objects.size(output)) === null) {
        expectLines(at, done, `s3://${output.bucket}/${output.key}`);
        await objects.putOnce(output, Buffer.concat(bodies));
      }
      await removeCheckpoints();
    },
    [Symbol.asyncDispose]: async () => {},
  };
}
