/** `/v1/files`: what batches read, what they wrote, and images of conversations. */
import * as z from 'zod/mini';
import { described } from '../described.ts';

/** Seconds for which a file may be asked to be stored. */
export const MIN_FILE_SECONDS = 3600;
export const MAX_FILE_SECONDS = 2_592_000;

const fileId = described(
  z.string(),
  'Id of the file: `file-` and what nobody can guess.',
  'file-3f0c9d1e5a7b48c2',
);

const seconds = z.int().check(z.gte(MIN_FILE_SECONDS), z.lte(MAX_FILE_SECONDS));

/** From when on, and how long, something is stored. */
export const ExpiresAfter = z.strictObject({
  anchor: described(z.literal('created_at'), 'Always `created_at`.'),
  seconds: described(seconds, 'Seconds for which it is stored: an hour to 30 days.', 86_400),
});
export type ExpiresAfter = z.infer<typeof ExpiresAfter>;

/** What files are uploaded for: lines of JSON, or an image. */
export const FILE_PURPOSES = ['batch', 'vision', 'user_data'] as const;
export type FilePurpose = (typeof FILE_PURPOSES)[number];

/** The fields of the form beside the file. */
export const OpenAiFileFields = z.strictObject({
  purpose: described(
    z.enum(FILE_PURPOSES, {
      error:
        'must be batch, for the lines of a batch or a job, or vision or user_data, for an image',
    }),
    'What it is for: `batch` of the lines of a batch or a job, `vision` or `user_data` of an image.',
    'batch',
  ),
  expires_after: described(
    z.optional(ExpiresAfter),
    'How long it is stored, as `expires_after[anchor]` and `expires_after[seconds]`: 30 days at most, and where nothing is said.',
    { anchor: 'created_at', seconds: 86_400 },
  ),
});

export const OpenAiFile = described(
  z.object({
    id: fileId,
    object: described(z.literal('file'), 'Always `file`.'),
    bytes: described(z.int(), 'Its size.', 8192),
    created_at: described(z.int(), 'When it came, in seconds since 1970.', 1_795_780_800),
    expires_at: described(
      z.nullable(z.int()),
      'When it is deleted, in seconds since 1970.',
      1_798_372_800,
    ),
    filename: described(z.string(), 'Its name.', 'batch.jsonl'),
    purpose: described(
      z.enum([...FILE_PURPOSES, 'batch_output']),
      'As it was uploaded; `batch_output` where a batch wrote it.',
      'batch',
    ),
    status: described(z.literal('processed'), 'Always `processed`.'),
  }),
  'A file of JSON lines, or an image.',
);
export type OpenAiFile = z.infer<typeof OpenAiFile>;

/** A page of a list, as OpenAI's clients read it. */
export const pageMembers = {
  object: described(z.literal('list'), 'Always `list`.'),
  first_id: described(z.nullable(z.string()), 'Id of the first entry.', 'file-3f0c9d1e5a7b48c2'),
  last_id: described(
    z.nullable(z.string()),
    'Id of the last entry: `after` of the next page.',
    'file-3f0c9d1e5a7b48c2',
  ),
  has_more: described(z.boolean(), 'Whether there is a next page.', false),
};

export const OpenAiFileList = described(
  z.object({ ...pageMembers, data: described(z.array(OpenAiFile), 'The files.') }),
  'Files that were uploaded with this key.',
);
export type OpenAiFileList = z.infer<typeof OpenAiFileList>;

export const OpenAiFileDeleted = described(
  z.object({
    id: fileId,
    object: described(z.literal('file'), 'Always `file`.'),
    deleted: described(z.literal(true), 'Always true.'),
  }),
  'What is left of a deleted file.',
);
export type OpenAiFileDeleted = z.infer<typeof OpenAiFileDeleted>;

export const OpenAiFilePath = z.object({ file_id: fileId });

export const MAX_FILE_PAGE = 1000;

/** How a list is read, as texts of a query. */
export const OpenAiFileQuery = z.strictObject({
  after: described(
    z.optional(z.string().check(z.maxLength(128))),
    'Id of the last entry of the page before.',
    'file-3f0c9d1e5a7b48c2',
  ),
  limit: described(
    z.optional(z.int().check(z.gte(1), z.lte(10_000))),
    `How many there are in a page at most; no page has more than ${MAX_FILE_PAGE}.`,
    100,
  ),
  order: described(
    z.optional(z.enum(['asc', 'desc'])),
    'The oldest first, or the newest, as it is without it.',
    'desc',
  ),
  purpose: described(
    z.optional(z.string().check(z.maxLength(64))),
    'Only those of this purpose.',
    'batch',
  ),
});
export type OpenAiFileQuery = z.infer<typeof OpenAiFileQuery>;
