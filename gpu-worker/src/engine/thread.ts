/** Entry of the engine thread: `session.run` blocks the thread that calls it, so it never is the HTTP thread. */
import { parentPort, workerData } from 'node:worker_threads';
import { GenerationConfig } from '@blip2/shared/wire';
import { loadDecoder } from './decoder.ts';
import { Engine } from './engine.ts';
import { ImageRunner } from './image-runner.ts';
import type { EngineOptions, FromEngine, JobEvent, ToEngine } from './messages.ts';

const port = parentPort;
if (port === null) throw new Error('thread.ts is a worker thread');
const options = workerData as EngineOptions;
const say = (message: FromEngine) => port.postMessage(message);

const images = await ImageRunner.load(options);
const decoder = await loadDecoder(options);
let emit = (id: number, event: JobEvent) => say({ type: 'event', id, event });
const engine = new Engine({ images, decoder }, options, (id, event) => emit(id, event));
await selfTest();

let wake: () => void = () => {};
let closed = false;
port.on('message', (message: ToEngine) => {
  switch (message.type) {
    case 'submit':
      engine.submit(message.id, message.job);
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
say({ type: 'ready' });

while (!closed) {
  if (await engine.advance()) {
    // Lets messages in: what was submitted or cancelled counts before the next step.
    await new Promise((resolve) => setImmediate(resolve));
  } else {
    await new Promise<void>((resolve) => {
      wake = resolve;
    });
  }
}
for (const part of [images, decoder]) await part.release();
port.close();

/** One picture and one token through all graphs, so that "ready" means it. */
async function selfTest(): Promise<void> {
  const { image, bos_token_id } = options.manifest;
  const events: string[] = [];
  const serving = emit;
  emit = (_, event) => events.push(event.type);
  engine.submit(0, {
    source: { kind: 'pixels', key: '', pixels: new Float32Array(3 * image.size ** 2) },
    generate: { inputIds: [bos_token_id], config: GenerationConfig.parse({ max_tokens: 1 }) },
  });
  while (await engine.advance());
  emit = serving;
  if (events.at(-1) !== 'done') throw new Error('The model failed its self-test.');
}
