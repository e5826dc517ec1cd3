/** Entry of the GPU worker process. */
import { configure } from '@blip2/shared/config/configure';
import { printable } from '@blip2/shared/config/read-options';
import { WORKER_OPTIONS, WORKER_PROGRAM } from './config.ts';
import { createLogger } from './logger.ts';
import { tunedArguments, tunedEnvironment } from './runtime/memory-tuning.ts';
import { startWorker } from './start-worker.ts';

const warnings: string[] = [];
const { values: config } = configure(WORKER_PROGRAM, (warning) => warnings.push(warning));

const tuned = tunedEnvironment(process.env, process.platform);
if (tuned !== null) {
  const [node = process.execPath, ...rest] = process.argv;
  process.execve?.(node, [node, ...tunedArguments(process.execArgv), ...rest], tuned);
}

// On NVIDIA's cards too, a product in float32 is one: not in the 10 bits of TF32, which CUDA's libraries use by default.
process.env.NVIDIA_TF32_OVERRIDE ??= '0';

const log = createLogger({
  level: config.logLevel,
  write: (line) => process.stderr.write(line),
  pretty: process.stderr.isTTY,
});

// Whoever started this one has the same environment, and has said it.
if (!config.attached) for (const message of warnings) log.warn('configuration', { message });

try {
  log.info('starting', { config: printable(WORKER_OPTIONS, config) });
  const worker = await startWorker(config, log);
  worker.crashed.finally(() => process.exit(1));
  let stopping = false;
  const stop = (reason: string) => {
    // Ctrl-C once more, from somebody who does not want to wait; whoever started this one may say it in other words.
    if (stopping && reason === 'SIGINT') process.exit(1);
    if (stopping) return;
    stopping = true;
    log.info('stopping', { reason });
    worker.stop().then(
      () => process.exit(0),
      (error) => {
        log.error('not-stopped', { error });
        process.exit(1);
      },
    );
  };
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, stop);
  // The process that started this one may be killed, and then sends no signal.
  if (config.attached) {
    process.stdin.once('close', () => stopping || stop('standard input ended')).resume();
  }
  // Whoever reads this may already signal.
  log.info('ready', { url: worker.url });
} catch (error) {
  const { message, cause } = error as Error;
  // Users can mend what is wrong; a stack of our code would not help them.
  log.error('not-started', { message, cause: cause instanceof Error ? cause.message : undefined });
  process.exit(1);
}
