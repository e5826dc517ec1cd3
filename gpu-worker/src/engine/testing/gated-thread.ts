/** The engine thread with the real models, whose decoder asks a gate before each pass. */
import { parentPort, workerData } from 'node:worker_threads';
import { loadModels } from '../models/load-models.ts';
import { serveEngine } from '../serve.ts';
import { type GatedOptions, passGate } from './gate.ts';

if (parentPort === null) throw new Error('gated-thread.ts is a worker thread');
const options = workerData as GatedOptions;
const models = await loadModels(options);
const { decoder } = models;
const forward = decoder.forward.bind(decoder);
decoder.forward = async (batch) => {
  await passGate(options.gate);
  return forward(batch);
};
await serveEngine(models, options, parentPort);
