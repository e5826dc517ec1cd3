/** Why a checkpoint cannot become a bundle. */

/** The checkpoint is not what the builder expects; the message names the file, tensor or config value. */
export class CheckpointError extends Error {
  override readonly name = 'CheckpointError';
}
