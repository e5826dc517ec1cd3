/** What can be known of a file before it is sent. */
import { Failure } from './failure.ts';

/** @throws Failure `unreadable-file`, `empty-file` or `body-too-large` */
export async function checkFile(file: File, maxBytes: number): Promise<void> {
  // Folders, and files that were moved or changed, cannot be read; sent, they would look like a lost connection.
  await file
    .slice(0, 1)
    .arrayBuffer()
    .catch(() => {
      throw new Failure('unreadable-file');
    });
  if (file.size === 0) throw new Failure('empty-file');
  if (file.size > maxBytes) throw new Failure('body-too-large');
}
