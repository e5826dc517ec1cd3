/** `POST /v1/jobs`: one task for many images. */
import * as z from 'zod/mini';
import { described } from '../described.ts';
import { Metadata, WebhookRequest } from './parts.ts';

export const JOB_TASKS = ['caption', 'answer', 'embeddings', 'match'] as const;
export type JobTask = (typeof JOB_TASKS)[number];

/** The route by which each task is answered for one image: its request has the members that an item may have. */
export const ROUTE_OF_TASK = {
  caption: '/v1/captions',
  answer: '/v1/answers',
  embeddings: '/v1/embeddings',
  match: '/v1/match',
} as const satisfies Record<JobTask, string>;

/** Items in a request itself; more of them are a file. */
export const MAX_INLINE_ITEMS = 1000;
export const MAX_ITEM_ID = 256;

const MIN_SECONDS = 60;
const MAX_SECONDS = 7 * 86_400;

const task = described(
  z.enum(JOB_TASKS),
  'What is done with each image: as `POST /v1/captions`, `/v1/answers`, `/v1/embeddings` or `/v1/match` do.',
  'caption',
);

/** Characters of all settings together, as JSON: each item gets a copy. */
const MAX_SETTINGS = 2 ** 14;

const settings = described(
  z.optional(
    z
      .looseObject({})
      .check(
        z.refine(
          (value) => JSON.stringify(value).length <= MAX_SETTINGS,
          `has more than ${MAX_SETTINGS} characters as JSON, and each item gets a copy: put long texts into the items that need them`,
        ),
      ),
  ),
  'Members of each request other than its image: those of the task’s own route. An item’s own members win.',
  { max_tokens: 20 },
);

/** Settings of a job, which a body of JSON lines has in the query. */
export const JobOptions = z.strictObject({
  task,
  settings,
  dry_run: described(
    z.optional(z.boolean()),
    'Whether only to estimate how many items there are and what they would cost: nothing is run, and the reply is a JobEstimate.',
    false,
  ),
  cache_embeddings: described(
    z.optional(z.boolean()),
    'Whether the query embeddings of its images are cached for later requests, which costs a write to KV for each.',
    false,
  ),
  expires_after: described(
    z.optional(z.int().check(z.gte(MIN_SECONDS), z.lte(MAX_SECONDS))),
    'Seconds after which what has not been run expires: a minute to 7 days; a day where nothing is said.',
    86_400,
  ),
  metadata: z.optional(Metadata),
  webhook: z.optional(WebhookRequest),
});
export type JobOptions = z.infer<typeof JobOptions>;

const Item = described(
  z.looseObject({
    id: described(
      z.optional(z.string().check(z.minLength(1), z.maxLength(MAX_ITEM_ID))),
      'A name of your own, by which results name it, no two the same; its number from 0 where there is none.',
      'image-17',
    ),
  }),
  'The image of an item, as `image`, and members of the task’s own request.',
);

const Input = described(
  z.union([
    z.strictObject({
      file_id: described(
        z.string(),
        'A file of JSON lines, each an item, that `POST /v1/files` has stored.',
        'file-3f0c9d1e5a7b48c2',
      ),
    }),
    z.strictObject({
      prefix: described(
        z.string().check(z.maxLength(512)),
        'Every image of the operator’s bucket of images whose key begins so: the key is the item’s id.',
        'album-17/',
      ),
    }),
  ]),
  'Where the items are, where they are not in the request.',
);

export const JobRequest = described(
  z.strictObject({
    ...JobOptions.shape,
    items: described(
      z.optional(z.array(Item).check(z.minLength(1), z.maxLength(MAX_INLINE_ITEMS))),
      `The items themselves, ${MAX_INLINE_ITEMS} at most: more of them are JSON lines, as the body or as a file.`,
      [{ id: 'one', image: { url: 'https://images.example.org/pizza-and-octopus.webp' } }],
    ),
    input: z.optional(Input),
  }),
  'A task, and the images it is done for: `items`, or `input`.',
);
export type JobRequest = z.infer<typeof JobRequest>;

export const RetryRequest = described(
  z.strictObject({
    webhook: described(
      z.optional(z.nullable(WebhookRequest)),
      'Another webhook, or null for none; without it, the same, with the same secrets.',
    ),
  }),
  'What is otherwise than in the job that is tried again: its webhook.',
);
