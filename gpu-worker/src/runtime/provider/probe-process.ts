/** Entry of a process that probes the execution provider it is given and prints what it found, as JSON. */
import type { ExecutionProvider } from '../session-options.ts';
import { probe } from './probe.ts';

console.log(JSON.stringify(await probe(process.argv[2] as ExecutionProvider)));
