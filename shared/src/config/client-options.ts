/** Where a client of the API finds it, and by which key it is let in. */
import { bearerToken, httpUrl } from './kinds.ts';
import { option } from './option.ts';

const group = 'Service';

export const CLIENT_OPTIONS = {
  url: option({
    flag: 'url',
    env: 'BLIP2_URL',
    kind: httpUrl(),
    default: 'http://127.0.0.1:8787',
    group,
    help: 'address of the service',
  }),
  key: option({
    flag: 'key',
    env: 'BLIP2_API_KEY',
    kind: bearerToken(),
    group,
    secret: true,
    help: 'key of the API; the variable does not show in lists of processes',
  }),
};
