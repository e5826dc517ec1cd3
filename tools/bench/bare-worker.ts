/** A Worker that does nothing: the baseline of the look-up benchmark. */
export default {
  fetch: () => new Response('ok'),
};
