/** Problems that several routes can reply with, by what they come from. */
import type { ProblemSlug } from '@blip2/shared/errors';

/** Reading JSON. */
export const JSON_BODY: readonly ProblemSlug[] = [
  'invalid-request',
  'invalid-json',
  'invalid-content-encoding',
  'body-too-large',
  'unsupported-media-type',
  'unsupported-content-encoding',
];
/** Reading JSON with an image. */
export const JSON_REQUEST: readonly ProblemSlug[] = [
  ...JSON_BODY,
  'no-image',
  'several-images',
  'invalid-base64',
  'invalid-image',
  'image-too-large',
  'image-url-refused',
  'image-url-failed',
];
/** Reading a request with an image in any of its forms. */
export const REQUEST: readonly ProblemSlug[] = [...JSON_REQUEST, 'invalid-multipart'];
/** Work of the GPU worker. */
export const WORK: readonly ProblemSlug[] = [
  'prompt-too-long',
  'model-mismatch',
  'computation-failed',
  'bad-gateway',
  'worker-unavailable',
  'too-many-requests',
  'overloaded',
  'shutting-down',
  'deadline-exceeded',
];
/** Looking up by hash. */
export const LOOKUP: readonly ProblemSlug[] = ['unknown-image', 'cache-unavailable'];
/** Sending what is large: there is memory for so much at a time. */
export const LARGE_REPLY: readonly ProblemSlug[] = ['too-many-requests', 'overloaded'];
