/** Serves an engine over a thread's port: a self-test, then one action after another while there is something to do. */
import type { MessagePort } from 'node:worker_threads';
import type { RetrievalManifest } from '@blip2/shared/bundle-manifest';
import { GenerationConfig } from '@blip2/shared/wire';
import { Engine } from './engine.ts';
import { type EngineModels, releaseModels } from './models/load-models.ts';
import type { EngineOptions, FromEngine, Job, JobEvent, Pixels, ToEngine } from './protocol.ts';
import { deserializeError } from './serialize-error.ts';

/**
 * Returns after a `close` message, with the models released.
 * @throws Error when the self-test fails
 */
export async function serveEngine(
  models: EngineModels,
  options: EngineOptions,
  port: MessagePort,
): Promise<void> {
  const post = (message: FromEngine) => port.postMessage(message);
  let emit = (id: number, event: JobEvent) => post({ type: 'event', id, event });
  const engine = new Engine(
    models,
    options,
    (id, event) => emit(id, event),
    (stats) => post({ type: 'stats', stats }),
  );

  const serving = emit;
  for (const job of selfTestJobs(options)) {
    let last: JobEvent | undefined;
    emit = (_, event) => {
      last = event;
    };
    engine.submit(0, job, { caller: { client: '', priority: 'interactive' } });
    while (await engine.advance());
    checkSelfTest(last);
  }
  emit = serving;

  let wake: () => void = () => {};
  let closed = false;
  let isPinged = false;
  port.on('message', (message: ToEngine) => {
    switch (message.type) {
      case 'submit':
        engine.submit(message.id, message.job, message.options);
        break;
      case 'expect':
        engine.expect();
        break;
      case 'cancel':
        engine.cancel(message.id);
        break;
      case 'drop-image':
        engine.dropImage(message.image, message.at);
        break;
      case 'ping':
        isPinged = true;
        break;
      case 'close':
        closed = true;
        break;
    }
    wake();
  });
  post({ type: 'ready' });

  while (!closed) {
    // Here alone, where no action is under way: an answer says that the engine advances.
    if (isPinged) post({ type: 'pong' });
    isPinged = false;
    if (await engine.advance()) {
      // Lets messages in: jobs that were submitted or canceled count before the next step.
      await new Promise((resolve) => setImmediate(resolve));
    } else {
      const { restMs } = engine;
      const woken = Promise.withResolvers<void>();
      wake = woken.resolve;
      const timer = restMs === null ? undefined : setTimeout(wake, restMs);
      await woken.promise;
      clearTimeout(timer);
    }
  }
  engine.release();
  await releaseModels(models);
  port.close();
}

/** One image and one token through all graphs, so that "ready" means it. */
function selfTestJobs({ manifest, retrieval }: EngineOptions): Job[] {
  const blank = (size: number): Pixels => {
    return { kind: 'pixels', key: '', pixels: new Float32Array(3 * size ** 2) };
  };
  const generate: Job = {
    kind: 'generate',
    source: blank(manifest.image.size),
    inputIds: [manifest.bos_token_id],
    instruction: manifest.instruction && emptyText(manifest.instruction),
    config: GenerationConfig.parse({ max_tokens: 1 }),
  };
  if (retrieval === undefined) return [generate];
  const { image, text } = retrieval.manifest;
  return [generate, { kind: 'match', source: blank(image.size), texts: [emptyText(text)] }];
}

function emptyText({ cls_token_id, sep_token_id }: RetrievalManifest['text']): number[] {
  return [cls_token_id, sep_token_id];
}

function checkSelfTest(last: JobEvent | undefined): void {
  if (last?.type === 'done') return;
  const cause = last?.type === 'failed' ? { cause: deserializeError(last.error) } : {};
  throw new Error('The model failed its self-test.', cause);
}
