/** Entry of the engine thread: `session.run` blocks the thread that calls it, so it never is the HTTP thread. */
import { parentPort, workerData } from 'node:worker_threads';
import { loadModels } from './models/load-models.ts';
import type { EngineOptions } from './protocol.ts';
import { serveEngine } from './serve.ts';

if (parentPort === null) throw new Error('thread.ts is a worker thread');
const options = workerData as EngineOptions;
await serveEngine(await loadModels(options), options, parentPort);
