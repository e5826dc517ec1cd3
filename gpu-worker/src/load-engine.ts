/** From the names of checkpoints to an engine that computes what was built: damaged bundles are built again and never serve. */
import { join } from 'node:path';
import type { GenerativeManifest, RetrievalManifest } from '@blip2/shared/bundle-manifest';
import {
  discardBundle,
  findDamage,
  readGenerativeManifest,
  readManifest,
  readRetrievalManifest,
} from './builder/index.ts';
import { EngineClient } from './engine/client.ts';
import type { EngineOptions, RetrievalOptions } from './engine/protocol.ts';
import { type AskedEngine, checkKnownAnswer } from './known-answer.ts';
import { checkRetrievalAnswer } from './known-retrieval-answer.ts';
import type { Logger } from './logger.ts';
import { WeightFiles } from './weight-files.ts';

export type LoadOptions = {
  checkpoint: string;
  retrievalCheckpoint?: string | undefined;
  /** Folder of the bundle of a checkpoint, built where there is none that fits. */
  bundleOf: (checkpoint: string) => Promise<string>;
  /** All that the bundles do not decide, once they are there. */
  engineOptions: (
    manifest: GenerativeManifest,
    retrieval: RetrievalManifest | undefined,
  ) => Promise<Omit<EngineOptions, 'bundle' | 'manifest' | 'retrieval'>>;
  queueLimit: number;
  log: Logger;
  /** What compares the files of a bundle with their digests; a benchmark loads without. */
  findDamage?: typeof findDamage;
};

type Loaded = AskedEngine & { retrieval: RetrievalOptions | undefined };

export type LoadedEngine = Loaded & {
  /** What is mapped now, open since before its digests were compared. */
  weights: WeightFiles;
};

/**
 * Files are compared with their digests while the model is loaded, which waits for the disk and for one core. What is damaged
 * is built again, once: a file that is damaged a second time has a disk or a memory that damages it.
 * @throws Error naming the file that is damaged, or what cannot be had, built or loaded
 */
export async function loadEngine(options: LoadOptions): Promise<LoadedEngine> {
  const { checkpoint, retrievalCheckpoint, bundleOf, log } = options;
  const compare = options.findDamage ?? findDamage;
  for (let isSecond = false; ; isSecond = true) {
    const bundle = await bundleOf(checkpoint);
    const retrievalBundle =
      retrievalCheckpoint === undefined ? undefined : await bundleOf(retrievalCheckpoint);
    const bundles = [bundle, ...(retrievalBundle === undefined ? [] : [retrievalBundle])];
    await using opened = new AsyncDisposableStack();
    const weights = opened.use(await openWeights(bundles));
    const checking = Promise.all(
      bundles.map(async (folder) => ({ folder, files: await compare(folder) })),
    );
    const [loading, checked] = await Promise.allSettled([
      load(bundle, retrievalBundle, options),
      checking,
    ]);
    const damaged =
      checked.status === 'fulfilled' ? checked.value.filter(({ files }) => files.length > 0) : [];
    if (damaged.length === 0) {
      if (checked.status === 'rejected' || loading.status === 'rejected') {
        if (loading.status === 'fulfilled') await loading.value.engine.stop();
        throw (
          (loading as PromiseRejectedResult).reason ?? (checked as PromiseRejectedResult).reason
        );
      }
      await checkOrStop(bundle, loading.value, log);
      opened.move();
      return { ...loading.value, weights };
    }
    if (loading.status === 'fulfilled') await loading.value.engine.stop();
    for (const { folder, files } of damaged) {
      if (isSecond) throw damage(folder, files);
      log.warn('bundle-damaged', { bundle: folder, files, message: 'It is built again.' });
      await discardBundle(folder);
    }
  }
}

async function load(
  bundle: string,
  retrievalBundle: string | undefined,
  { engineOptions, queueLimit }: LoadOptions,
): Promise<Loaded> {
  const manifest = await readGenerativeManifest(bundle);
  const retrieval =
    retrievalBundle === undefined
      ? undefined
      : { bundle: retrievalBundle, manifest: await readRetrievalManifest(retrievalBundle) };
  const own = await engineOptions(manifest, retrieval?.manifest);
  const both = retrieval === undefined ? {} : { retrieval };
  const engine = await EngineClient.start({ bundle, manifest, ...both, ...own }, queueLimit);
  return { executionProvider: own.executionProvider, engine, manifest, retrieval };
}

async function openWeights(bundles: readonly string[]): Promise<WeightFiles> {
  const paths = await Promise.all(
    bundles.map(async (bundle) => {
      const { graphs } = await readManifest(bundle);
      return Object.values(graphs).map(({ weights }) => join(bundle, weights));
    }),
  );
  return await WeightFiles.open(paths.flat());
}

/** @throws Error when the engine's answer is not the known one, with the engine stopped */
async function checkOrStop(bundle: string, loaded: Loaded, log: Logger): Promise<void> {
  try {
    await checkKnownAnswer(bundle, loaded, log);
    if (loaded.retrieval !== undefined) await checkRetrievalAnswer(loaded.retrieval, loaded, log);
  } catch (error) {
    await loaded.engine.stop();
    throw error;
  }
}

function damage(folder: string, files: readonly string[]): Error {
  return new Error(
    `${folder} was built again, and ${files.join(', ')} is damaged again: check this machine's disk and memory, or set BLIP2_BUNDLES to another disk.`,
  );
}
