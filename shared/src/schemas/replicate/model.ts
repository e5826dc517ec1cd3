/** Models, versions and the account as Replicate's clients read them. */
import * as z from 'zod/mini';
import { described } from '../described.ts';
import { EXAMPLE_BASE } from './examples.ts';

const created = described(
  z.string(),
  'When it was built for this service; the beginning of 1970 where that is not known.',
  '2026-11-25T10:26:40.000Z',
);

export const ReplicateVersion = described(
  z.object({
    id: described(z.string(), 'Id of the version: the revision.', '0f1e2d3c4b5a'),
    created_at: created,
    cog_version: described(z.string(), 'The version of Cog whose schema this is like.', '0.9.0'),
    openapi_schema: described(
      z.record(z.string(), z.unknown()),
      'What `input` may have and what `output` is, as an OpenAPI document.',
      {},
    ),
  }),
  'A version of a model.',
);
export type ReplicateVersion = z.infer<typeof ReplicateVersion>;

export const ReplicateModel = described(
  z.object({
    url: described(z.string(), 'Where it is read.', `${EXAMPLE_BASE}/models/blip2/blip2-scenes`),
    owner: described(z.string(), 'First part of its name.', 'salesforce'),
    name: described(z.string(), 'Second part of its name.', 'blip-2'),
    description: described(z.string(), 'What it does.', 'Captions images and answers questions.'),
    visibility: described(z.literal('public'), 'Always `public`.'),
    run_count: described(z.int(), 'Always 0: it is not counted.', 0),
    latest_version: ReplicateVersion,
  }),
  'A model, under one of its names.',
);
export type ReplicateModel = z.infer<typeof ReplicateModel>;

const onePage = {
  previous: described(z.null(), 'Always null: there is one page.'),
  next: described(z.null(), 'Always null.'),
};

export const ReplicateModelList = described(
  z.object({ ...onePage, results: described(z.array(ReplicateModel), 'Under all names.') }),
  'The models that are served.',
);
export type ReplicateModelList = z.infer<typeof ReplicateModelList>;

export const ReplicateVersionList = described(
  z.object({
    ...onePage,
    results: described(z.array(ReplicateVersion), 'The one that is served.'),
  }),
  'The versions of a model.',
);
export type ReplicateVersionList = z.infer<typeof ReplicateVersionList>;

export const ReplicateAccount = described(
  z.object({
    type: described(z.literal('user'), 'Always `user`.'),
    username: described(z.string(), 'Name of the key; `anonymous` where none is needed.', 'alice'),
    name: described(z.string(), 'The same.', 'alice'),
  }),
  'Whose key it is.',
);
export type ReplicateAccount = z.infer<typeof ReplicateAccount>;

const owner = described(z.string(), 'First part of the name.', 'salesforce');
const name = described(z.string(), 'Second part of the name.', 'blip-2');
export const ModelPath = z.object({ owner, name });
export const VersionPath = z.object({
  owner,
  name,
  version: described(
    z.string(),
    'Id of the version.',
    '4b32258c42e9efd4288bb9910bc532a69727f9acd26aa08e175713a0a857a608',
  ),
});
