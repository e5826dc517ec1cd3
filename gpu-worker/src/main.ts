/** Entry of the GPU worker process. */
import { parseArgs } from 'node:util';
import { CONFIG_HELP, readConfig } from './config.ts';
import { tunedEnvironment } from './runtime/malloc-tuning.ts';
import { startWorker } from './start-worker.ts';

const { values } = parseArgs({
  options: {
    trace: { type: 'string' },
    attached: { type: 'boolean' },
    help: { type: 'boolean', short: 'h' },
  },
});
if (values.help) {
  console.log(CONFIG_HELP);
  process.exit(0);
}

const tuned = tunedEnvironment(process.env, process.platform);
if (tuned !== null) {
  const [node = process.execPath, ...rest] = process.argv;
  process.execve?.(node, [node, ...process.execArgv, ...rest], tuned);
}

// On NVIDIA's cards too, a product in float32 is one: not in the 10 bits of TF32, which CUDA's libraries take unless told.
process.env.NVIDIA_TF32_OVERRIDE ??= '0';

try {
  const config = readConfig({ ...process.env, ...(values.trace && { BLIP2_TRACE: values.trace }) });
  console.log('GPU worker:', JSON.stringify(config));
  let last = '';
  const worker = await startWorker(config, (line) => {
    if (line !== last) console.log(line);
    last = line;
  });
  console.log(`GPU worker ready at ${worker.url}`);
  worker.engine.onCrash((error) => {
    console.error('The engine thread ended:', error);
    process.exit(1);
  });
  let stopping = false;
  const stop = () => {
    if (stopping) process.exit(1);
    stopping = true;
    worker.stop().then(
      () => process.exit(0),
      (error) => {
        console.error(error);
        process.exit(1);
      },
    );
  };
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, stop);
  // Whoever started it may be killed without a chance to say so.
  if (values.attached) process.stdin.once('close', () => stopping || stop()).resume();
} catch (error) {
  const { message, cause } = error as Error;
  console.error(cause instanceof Error ? `${message} (${cause.message})` : message);
  process.exit(1);
}
