/**
 * How a body is read. What it is taken for is decided once, and that decides both what reading it costs and what reads it: a price
 * that judged by itself could be an image's for what is read as a form of a thousand fields.
 */
import type * as z from 'zod/mini';
import type { Steps } from '../pauses.ts';
import {
  type BodyCost,
  formCost,
  imageCost,
  jsonCost,
  textCost,
  urlEncodedCost,
} from './body-costs.ts';
import { withLineFeeds } from './decode-text.ts';
import { fieldsFromForm } from './form-fields.ts';
import { parseJsonObject } from './json-body.ts';
import { type Part, parseMultipart } from './multipart.ts';
import { readMultipart } from './multipart-form.ts';
import { parseUrlEncoded } from './url-encoded.ts';

type Bytes = Uint8Array<ArrayBuffer>;
type Members = Record<string, unknown>;

/** Made by the functions below alone, each of which has both of one kind. */
export type Reading<T> = {
  /** To look at some megabytes takes tens of milliseconds, before any turn. */
  cost: () => Steps<BodyCost>;
  /** @throws ApiError for what is wrong with the body */
  read: () => T;
};

/** Of a body that is an image as a whole: nothing of it is read here. */
export function asImage(image: Bytes): Reading<{ image: Bytes; members?: never }> {
  return { cost: () => known(imageCost(image)), read: () => ({ image }) };
}

/** @param nullable names of members that may be null, where that says something */
export function asJson(
  body: Bytes,
  charset: string | undefined,
  nullable: readonly string[] = [],
): Reading<{ members: Members; image?: never }> {
  return {
    cost: () => jsonCost(body, charset),
    read: () => ({ members: parseJsonObject(body, charset, nullable) }),
  };
}

/** A form with files. @param schema of all members of the request */
export function asForm(
  body: Bytes,
  boundary: string | undefined,
  schema: z.core.$ZodType,
): Reading<{ members: Members; image?: never }> {
  return {
    cost: () => formCost(body, boundary),
    read: () => ({ members: readMultipart(body, boundary, schema) }),
  };
}

/** The parts of such a form. */
export function asParts(body: Bytes, boundary: string | undefined): Reading<Part[]> {
  return {
    cost: () => formCost(body, boundary),
    read: () => parseMultipart(body, boundary),
  };
}

/** @param schema of all members of the request */
export function asUrlEncoded(
  body: Bytes,
  charset: string | undefined,
  schema: z.core.$ZodType,
): Reading<{ members: Members; image?: never }> {
  return {
    cost: () => urlEncodedCost(body),
    read: () => {
      const entries = parseUrlEncoded(body, charset);
      const members = entries.map(([name, value]) => [name, withLineFeeds(value)] as const);
      return { members: fieldsFromForm(members, schema) };
    },
  };
}

/** Of a body that is the address of an image, as it seems. */
export function asAddress(body: Bytes): Reading<{ url: string; body: Bytes }> {
  return {
    cost: () => known(textCost(body)),
    read: () => ({ url: new TextDecoder().decode(body), body }),
  };
}

/** What needs no look. */
// biome-ignore lint/correctness/useYield: there is nothing to do before it.
function* known(cost: BodyCost): Steps<BodyCost> {
  return cost;
}
