/** Validation of requests, which part mode of the GPU worker has too. */
export { shownName, validate } from '@blip2/shared/validate';
