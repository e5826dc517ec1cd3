/** Files that Replicate's clients upload before a prediction, and delete or forget after it. */
import * as z from 'zod/mini';
import { described } from '../described.ts';
import { EXAMPLE_BASE, EXAMPLE_ID, EXAMPLE_SHA256, EXAMPLE_TOKEN } from './examples.ts';

export const ReplicateFile = described(
  z.object({
    id: described(z.string(), 'Id of the file, which nobody can guess.', EXAMPLE_ID),
    name: described(z.string(), 'Its name.', 'pizza-and-octopus.webp'),
    content_type: described(z.string(), 'What its bytes are.', 'image/webp'),
    size: described(z.int(), 'Bytes.', 8192),
    etag: described(z.string(), 'SHA-256 of its bytes.', EXAMPLE_SHA256),
    checksums: described(
      z.object({ sha256: described(z.string(), 'Of its bytes.', EXAMPLE_SHA256) }),
      'Digests.',
    ),
    metadata: described(z.record(z.string(), z.unknown()), 'What was sent with it.', {}),
    created_at: described(z.string(), 'When it came.', '2026-11-27T12:00:00.000Z'),
    expires_at: described(z.string(), 'When it is deleted.', '2026-11-27T13:00:00.000Z'),
    urls: described(
      z.object({
        get: described(
          z.string(),
          'The file: what `input.image` may be.',
          `${EXAMPLE_BASE}/files/${EXAMPLE_ID}`,
        ),
        download: described(
          z.string(),
          'Its bytes, for whoever has this URL.',
          `${EXAMPLE_BASE}/files/${EXAMPLE_ID}/download?token=${EXAMPLE_TOKEN}`,
        ),
      }),
      'Where it is read.',
    ),
  }),
  'A file. It is deleted after an hour, or earlier where newer ones take its room.',
);
export type ReplicateFile = z.infer<typeof ReplicateFile>;

export const ReplicateFileList = described(
  z.object({
    previous: described(z.null(), 'Always null: there is one page.'),
    next: described(z.null(), 'Always null.'),
    results: described(z.array(ReplicateFile), 'The newest first.'),
  }),
  'Files of this key.',
);
export type ReplicateFileList = z.infer<typeof ReplicateFileList>;

export const FilePath = z.object({ file_id: described(z.string(), 'Id of the file.', EXAMPLE_ID) });
