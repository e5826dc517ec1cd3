/** `npm start`: the whole service until Ctrl-C. */
import { randomBytes } from 'node:crypto';
import { join, resolve } from 'node:path';
import { styleText } from 'node:util';
import { configure } from '@blip2/shared/config/configure';
import { LIMIT_OPTIONS } from '../edge/src/config.ts';
import { banner, otherUrls } from './banner.ts';
import { lowFileLimit } from './open-files.ts';
import { ROOT } from './prepare-edge.ts';
import { START } from './programs/service.ts';
import { startOrExit } from './start-or-exit.ts';
import { mistypedVariables, unreadVariables } from './unread-variables.ts';

/** An image every clone has. */
const SAMPLE = 'test/scenes/pair-noto-00.webp';

const { values: config } = configure(START);
const { host, port, trace, verbose, logLevel = verbose ? 'info' : 'warn' } = config;

const limits = Object.entries(LIMIT_OPTIONS).map(([name, { env }]) => {
  return { env, value: config[name as keyof typeof LIMIT_OPTIONS] };
});

const storage = resolve(ROOT, config.storage);

const stack = await startOrExit({
  host,
  port,
  model: config,
  persist: storage,
  ownsStorage: true,
  jobs: !config.noJobs,
  workers: config.workers,
  // What is asked of GPU workers past the edge is in no limits.
  workerSecret: randomBytes(32).toString('hex'),
  vars: {
    ALLOW_ANONYMOUS: String(!config.requireKey),
    CLIENT_ADDRESS_HEADER: config.clientAddressHeader ?? 'none',
    CLIENT_ADDRESS_HOPS: String(config.clientAddressHops),
    ALLOW_PRIVATE_IMAGE_URLS: String(config.allowPrivateImageUrls),
    ...Object.fromEntries(limits.map(({ env, value }) => [env, String(value ?? 'none')])),
  },
  logLevel: verbose ? 'log' : 'error',
  onEvent: (line) => console.error(styleText('yellow', line)),
  workerEnv: {
    BLIP2_LOG_LEVEL: logLevel,
    BLIP2_TRACE: trace === undefined ? '' : resolve(trace),
  },
});
const { url, health, summary, jobsError } = stack;
const others = otherUrls({ host, port: Number(new URL(url).port) });
console.log(
  banner({
    url,
    others,
    health,
    summary,
    jobs: config.noJobs ? 'off' : (jobsError ?? 'on'),
    isOpen: !config.requireKey,
    isLimited: limits.some(({ value }) => value !== null),
    allowsPrivateImages: config.allowPrivateImageUrls,
    unread: unreadVariables(process.env),
    mistyped: mistypedVariables(Object.keys(process.env)),
    fileLimit: await lowFileLimit(),
    sample: join(ROOT, SAMPLE),
  }),
);

let stopping = false;
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  // Until now miniflare's handlers ended this process at once: from here on the GPU worker is waited for.
  process.removeAllListeners(signal).on(signal, () => {
    // Ctrl-C once more, from somebody who does not want to wait.
    if (stopping && signal === 'SIGINT') process.exit(1);
    if (stopping) return;
    stopping = true;
    stack.stop().then(
      () => process.exit(0),
      () => process.exit(1),
    );
  });
}
