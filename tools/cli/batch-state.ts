/** Which batches a run of `blip2 run-batch` has created: who runs the command again goes on with them. */
import { readFile, rm, writeFile } from 'node:fs/promises';
import * as z from 'zod/mini';
import { CliError } from './failure.ts';

const State = z.object({
  /** SHA-256 of the input. */
  input: z.string(),
  service: z.string(),
  batches: z.array(z.object({ id: z.string(), url: z.string(), firstLine: z.int() })),
});
/** A batch, its route, and how many lines of this route stand before its own. */
export type CreatedBatch = z.infer<typeof State>['batches'][number];

export type BatchState = {
  batches: CreatedBatch[];
  add: (batch: CreatedBatch) => Promise<void>;
  /** Of batches that the service does not have, or has refused: others are created in their place. */
  forget: (gone: readonly CreatedBatch[]) => void;
  end: () => Promise<void>;
};

/** @param path null where nothing is remembered */
export async function openBatchState(
  path: string | null,
  of: { input: string; service: string },
): Promise<BatchState> {
  const text = path === null ? '' : await readFile(path, 'utf8').catch(() => '');
  const stored = State.safeParse(text === '' ? null : parsed(text));
  const isSame =
    stored.success && stored.data.input === of.input && stored.data.service === of.service;
  const batches = isSame ? stored.data.batches : [];
  return {
    batches,
    add: async (batch) => {
      batches.push(batch);
      if (path === null) return;
      await writeFile(path, JSON.stringify({ ...of, batches })).catch((error: Error) => {
        const ids = batches.map(({ id }) => id).join(' ');
        throw new CliError(`${path} cannot be written: ${error.message}.\nBatches go on: ${ids}`);
      });
    },
    forget: (gone) => {
      for (const batch of gone) batches.splice(batches.indexOf(batch), 1);
    },
    end: async () => {
      if (path !== null) await rm(path, { force: true });
    },
  };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
