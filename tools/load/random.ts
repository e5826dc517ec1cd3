/** The randomness of the load: one seed gives the same order of requests, and the same new images. */
export { type Random, seededRandom } from '@blip2/gpu-worker/engine/decoding/sample-token';
