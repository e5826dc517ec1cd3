/** `npm start`: the whole service until Ctrl-C. */
import { join, resolve } from 'node:path';
import { parseArgs, styleText } from 'node:util';
import { startStack } from './local-stack.ts';
import { ROOT } from './prepare-edge.ts';
import { statusLine } from './status-line.ts';

/** An image every clone has. */
const SAMPLE = 'test/scenes/pair-noto-00.webp';

const HELP = `Usage: npm start [-- --port 8787 --trace FILE --verbose]

Starts the edge (workerd, local KV) and the GPU worker on this machine.

  --port PORT   the same as the variable PORT
  --trace FILE  trace of requests and engine steps, for chrome://tracing or Perfetto
  --verbose     show what edge and GPU worker log

Environment:
  PORT               port of the edge (8787)
  BLIP2_CHECKPOINT   checkpoint folder in Hugging Face's format, or owner/name[@revision] on a hub, which
                     is pulled (the embedded model)
  BLIP2_RETRIEVAL_CHECKPOINT   one that compares images with texts (embedded, or none beside another model)
  BLIP2_PRECISION    fp32, int8, int4 or auto (auto: fp32 below 1 GB of weights, else int8)
  BLIP2_IGNORE_CONFIG   keys of config.json that you know to change nothing though the builder does not know them
  BLIP2_BUNDLES      where bundles are kept (.bundles)
  BLIP2_MODELS       where pulled checkpoints are kept (.models)
  HF_TOKEN           token for models that are private or gated; sent to HF_ENDPOINT only
  HF_ENDPOINT        the hub (https://huggingface.co)
  HF_HUB_OFFLINE     1 uses what was pulled before and asks no hub
`;

const { values } = parseArgs({
  options: {
    port: { type: 'string' },
    verbose: { type: 'boolean' },
    trace: { type: 'string' },
    help: { type: 'boolean', short: 'h' },
  },
});
if (values.help) {
  console.log(HELP);
  process.exit(0);
}
const port = Number(values.port ?? process.env.PORT ?? 8787);
if (!Number.isInteger(port) || port < 0 || port > 65535) {
  console.error(
    `PORT must be a whole number from 0 to 65535, not "${values.port ?? process.env.PORT}".`,
  );
  process.exit(1);
}

const line = statusLine();
const stack = await startStack({
  port,
  persist: join(ROOT, '.wrangler/state'),
  logLevel: values.verbose ? 'log' : 'error',
  onStatus: line.update,
  ...(values.trace === undefined ? {} : { workerEnv: { BLIP2_TRACE: resolve(values.trace) } }),
}).catch((error: Error) => {
  line.clear();
  console.error(styleText('red', error.message));
  process.exit(1);
});
line.clear();

console.log(`
  ${styleText('bold', 'BLIP-2 is ready')}   ${stack.url}

  curl -s ${stack.url}/v1/captions -H 'content-type: image/webp' --data-binary @${SAMPLE}

  Ctrl-C stops everything.
`);

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
watchWorker();

/** Cached embeddings are served, and the rest is a 503, until another GPU worker is there. */
function watchWorker(): void {
  stack.worker.once('exit', async (code, signal) => {
    if (stopping) return;
    const how = signal ?? `code ${code}`;
    console.error(styleText('red', `The GPU worker ended (${how}). Starting another …`));
    try {
      await stack.restartWorker();
      console.error('The GPU worker is back.');
      watchWorker();
    } catch (error) {
      if (stopping) return;
      console.error(styleText('red', error instanceof Error ? error.message : String(error)));
      stack.stop().finally(() => process.exit(1));
    }
  });
}
