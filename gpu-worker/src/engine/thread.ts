/** Entry of the engine thread: `session.run` blocks the thread that calls it, so it never is the HTTP thread. */
import { parentPort, workerData } from 'node:worker_threads';
import { Engine } from './engine.ts';
import type { EngineOptions, FromEngine, ToEngine } from './messages.ts';
import { Runner } from './runner.ts';

const port = parentPort;
if (port === null) throw new Error('thread.ts is a worker thread');
const options = workerData as EngineOptions;
const say = (message: FromEngine) => port.postMessage(message);

const runner = await Runner.load(options);
const engine = new Engine(runner, options, (id, event) => say({ type: 'event', id, event }));
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
await runner.release();
port.close();

/** One picture and one token through all graphs, so that "ready" means it. */
async function selfTest(): Promise<void> {
  const { image, bos_token_id } = options.manifest;
  const events: string[] = [];
  const probe = new Engine(runner, { ...options, maxSlots: 1 }, (_, event) =>
    events.push(event.type),
  );
  const sampling = {
    max_tokens: 1,
    temperature: 0,
    top_p: 1,
    top_k: 0,
    repetition_penalty: 1,
    seed: 0,
  };
  probe.submit(0, {
    source: { kind: 'pixels', key: '', pixels: new Float32Array(3 * image.size ** 2) },
    generate: { inputIds: [bos_token_id], sampling },
  });
  while (await probe.advance());
  if (events.at(-1) !== 'done') throw new Error('The model failed its self-test.');
}
