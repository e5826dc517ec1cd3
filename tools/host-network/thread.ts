/** Entry of the thread that serves the network to hosts. */
import { parentPort, workerData } from 'node:worker_threads';
import { type Place, startHostNetwork } from './host-network.ts';

export type ThreadData = Place & { allowPrivate: boolean };

const { allowPrivate, ...place } = workerData as ThreadData;
const { port } = await startHostNetwork({ allowPrivate }, place);
parentPort?.postMessage(port);
