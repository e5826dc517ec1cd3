/** A task of Hugging Face's API: how its request is read, whichever path it came on. */

import type * as z from 'zod/mini';
import type { Dependencies } from '../../dependencies.ts';
import { type FormEntry, fieldsFromForm } from '../../http/form-fields.ts';
import { type ImageOrJson, readImageOrJson } from '../../http/request-body.ts';
import { parseUrlEncoded } from '../../http/url-encoded.ts';
import { aboutImage } from '../../image/image-field.ts';
import { type ImageSource, sourceFromText } from '../../image/image-source.ts';
import { type AppContext, type Handler, readingOf } from '../../routes/app-context.ts';

/** A request before its task has read it. */
export type Inference = {
  request: ImageOrJson;
  /** Parameters of the query, for clients whose body is the image itself. */
  query: FormEntry[];
  /** The model that the path names, where it does. */
  id: string | undefined;
};

export type Task = (c: AppContext, deps: Dependencies, inference: Inference) => Promise<Response>;

/** The handler of a path whose task is known once the request has been read. */
export function inferenceRoute(taskOf: (inference: Inference) => Task): Handler {
  return async (c, deps) => {
    const { search } = new URL(c.req.url);
    const inference: Inference = {
      request: await readImageOrJson(c.req.raw, readingOf(c, deps)),
      query: parseUrlEncoded(search.slice(1)),
      id: c.req.param('id'),
    };
    return await taskOf(inference)(c, deps, inference);
  };
}

/** An image that a request names, and the member that does. */
export type NamedImage = { source: ImageSource; field: string };

/**
 * The members of a request that is JSON, or of one that is an image itself: there `inputs` is empty, and `image` is set.
 * @param parameters what may be in the query
 */
export function membersOf(
  { request, query }: Inference,
  parameters: z.ZodMiniObject,
): { members: Record<string, unknown>; image?: NamedImage } {
  const fields = fieldsFromForm(query, parameters);
  if (request.kind === 'image') {
    return {
      members: { inputs: '', parameters: fields },
      image: { source: request.source, field: 'inputs' },
    };
  }
  const { members } = request;
  if (Object.keys(fields).length === 0) return { members };
  const { parameters: own = {} } = members;
  // What is no object is refused by the schema of the task.
  if (typeof own !== 'object' || own === null || Array.isArray(own)) return { members };
  return { members: { ...members, parameters: { ...fields, ...own } } };
}

export function imageFromText(text: string, field: string): NamedImage {
  return { source: sourceFromText(text, field), field };
}

/** Does what needs the image; what is wrong with that is about its member. */
export async function onImage<Result>(
  { source, field }: NamedImage,
  work: (source: ImageSource) => Promise<Result>,
): Promise<Result> {
  try {
    return await work(source);
  } catch (thrown) {
    throw aboutImage(thrown, field);
  }
}

/** Replies are of one request: nobody in between keeps them. */
export const NOT_STORED = { 'cache-control': 'no-store' };
