/** The least a Worker can do: the yardstick of the look-up benchmark. */
export default {
  fetch: () => new Response('ok'),
};
