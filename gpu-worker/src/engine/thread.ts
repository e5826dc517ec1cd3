/** Entry of the engine thread: `session.run` blocks the thread that calls it, so it never is the HTTP thread. */
import { parentPort, workerData } from 'node:worker_threads';
import { GenerationConfig } from '@blip2/shared/wire';
import { Engine } from './engine.ts';
import { loadModels, releaseModels } from './models/load-models.ts';
import type { EngineOptions, FromEngine, Job, JobEvent, Pixels, ToEngine } from './protocol.ts';
import { deserializeError } from './serialize-error.ts';

const port = parentPort;
if (port === null) throw new Error('thread.ts is a worker thread');
const options = workerData as EngineOptions;
const post = (message: FromEngine) => port.postMessage(message);

const models = await loadModels(options);
let emit = (id: number, event: JobEvent) => post({ type: 'event', id, event });
const engine = new Engine(
  models,
  options,
  (id, event) => emit(id, event),
  (stats) => post({ type: 'observed', stats }),
);
await selfTest();

let wake: () => void = () => {};
let closed = false;
port.on('message', (message: ToEngine) => {
  switch (message.type) {
    case 'submit':
      engine.submit(message.id, message.job, message.options);
      break;
    case 'cancel':
      engine.cancel(message.id);
      break;
    case 'close':
      closed = true;
      break;
  }
  wake();
});
post({ type: 'ready' });

while (!closed) {
  if (await engine.advance()) {
    // Lets messages in: what was submitted or canceled counts before the next step.
    await new Promise((resolve) => setImmediate(resolve));
  } else {
    await new Promise<void>((resolve) => {
      wake = resolve;
    });
  }
}
engine.release();
await releaseModels(models);
port.close();

/** One image and one token through all graphs, so that "ready" means it. */
async function selfTest(): Promise<void> {
  const { image, bos_token_id } = options.manifest;
  const config = GenerationConfig.parse({ max_tokens: 1 });
  const blank = (size: number): Pixels => {
    return { kind: 'pixels', key: '', pixels: new Float32Array(3 * size ** 2) };
  };
  const jobs: Job[] = [
    { kind: 'generate', source: blank(image.size), inputIds: [bos_token_id], config },
  ];
  if (options.retrieval !== undefined) {
    const { image: own, text } = options.retrieval.manifest;
    const texts = [[text.cls_token_id, text.sep_token_id]];
    jobs.push({ kind: 'match', source: blank(own.size), texts });
  }
  const serving = emit;
  for (const job of jobs) {
    const events: JobEvent[] = [];
    emit = (_, event) => events.push(event);
    engine.submit(0, job, { standing: { client: '', priority: 'interactive' } });
    while (await engine.advance());
    const last = events.at(-1);
    if (last?.type === 'done') continue;
    const cause = last?.type === 'failed' ? { cause: deserializeError(last.error) } : {};
    throw new Error('The model failed its self-test.', cause);
  }
  emit = serving;
}
