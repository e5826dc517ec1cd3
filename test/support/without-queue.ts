/** Variables of an edge that runs jobs and has a queue that nobody can reach: items whose replies are cached need none, nor those that are refused. */
export const WITHOUT_QUEUE = {
  JOBS_QUEUE_URL: 'http://127.0.0.1:9/queue',
  JOBS_SECRET: 'the secret of tests that have no queue',
  AWS_ACCESS_KEY_ID: 'test',
  AWS_SECRET_ACCESS_KEY: 'test',
  CACHE_REPLIES_IN_KV: 'true',
};
