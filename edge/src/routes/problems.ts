/** `GET /problems/{slug}`: what the `type` of a problem document means. */
import { ApiError, PROBLEMS, type ProblemKind, type ProblemSlug } from '@blip2/shared/errors';
import type { Handler } from './app-context.ts';

export const problemPage: Handler = (c) => {
  const slug = c.req.param('slug') ?? '';
  if (!Object.hasOwn(PROBLEMS, slug)) {
    throw new ApiError('not-found', `There is no problem ${slug.slice(0, 64)}.`);
  }
  const { status, title, cause, remedy }: ProblemKind = PROBLEMS[slug as ProblemSlug];
  return c.text(
    `${title} (HTTP ${status})\n\nWhy: ${cause}\nWhat to do: ${remedy}\n\nSee the member "detail" of the reply.\n`,
  );
};
