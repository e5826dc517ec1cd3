/** Checks what a job asks for each image by the schema of the task's own route, before anything is stored. */
import { ApiError } from '@blip2/shared/errors';
import { AnswerOptions } from '@blip2/shared/schemas/answers';
import { CaptionOptions } from '@blip2/shared/schemas/captions';
import { EmbeddingsOptions } from '@blip2/shared/schemas/embeddings';
import { RequestImage } from '@blip2/shared/schemas/image';
import type { JobTask } from '@blip2/shared/schemas/jobs/request';
import { MatchOptions } from '@blip2/shared/schemas/match';
import { validate } from '@blip2/shared/validate';
import * as z from 'zod/mini';

type Members = Record<string, unknown>;

/** The members of each task's request other than the image. */
const OPTIONS = {
  caption: CaptionOptions,
  answer: AnswerOptions,
  embeddings: EmbeddingsOptions,
  match: MatchOptions,
} satisfies Record<JobTask, z.ZodMiniObject>;

/** @throws ApiError `invalid-request` that names the member within `settings` */
export function checkSettings(task: JobTask, settings: Members): void {
  validate(z.partial(OPTIONS[task]), settings, 'settings');
  expectWhole(settings, 'settings');
}

/**
 * An item's id is its number where it has none.
 * @throws ApiError `invalid-request` that names the member within `items`, by the item's number from 0
 */
export function checkItems(
  task: JobTask,
  settings: Members,
  items: readonly (Members & { id?: string | undefined })[],
): void {
  const numbers = new Map<string, number>();
  const schema = z.strictObject({
    image: task === 'embeddings' ? z.optional(RequestImage) : RequestImage,
    ...OPTIONS[task].shape,
  });
  for (const [number, { id = String(number), ...members }] of items.entries()) {
    const earlier = numbers.get(id);
    if (earlier !== undefined) {
      const field = `items.${number}.id`;
      const detail = `${field}: is that of items.${earlier}: each item must have its own.`;
      throw new ApiError('invalid-request', detail, { field });
    }
    numbers.set(id, number);
    validate(schema, { ...settings, ...members }, 'items', String(number));
    expectWhole(members, `items.${number}`);
  }
}

/** A result is there when it is whole. */
function expectWhole({ stream }: Members, within: string): void {
  if (stream !== true) return;
  const field = `${within}.stream`;
  const detail = `${field}: there is nobody to stream to: results are read when they are there.`;
  throw new ApiError('unsupported-parameter', detail, { field });
}
