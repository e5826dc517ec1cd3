/** Checks the keys of the files beside config.json: image processor and generation settings. */
import { expectKnownGeneration } from './generation-config.ts';
import { expectKnownProcessor } from './image-processor.ts';
import { readGenerativeConfig, readRetrievalConfig } from './model-config.ts';

/** @throws CheckpointError naming a key that would change images or texts and is not known, or not done here */
export async function expectKnownFiles(
  folder: string,
  kind: 'generate' | 'retrieve',
  ignored: readonly string[],
): Promise<void> {
  const read = kind === 'retrieve' ? readRetrievalConfig : readGenerativeConfig;
  const { num_query_tokens } = await read(folder);
  await expectKnownProcessor(folder, num_query_tokens, ignored);
  if (kind === 'generate') await expectKnownGeneration(folder, ignored);
}
