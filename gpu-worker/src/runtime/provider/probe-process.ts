/** Entry of a process that probes the execution provider named in its first argument and prints the result as JSON. */
import type { ExecutionProvider } from '../session-options.ts';
import { probe } from './probe.ts';

console.log(JSON.stringify(await probe(process.argv[2] as ExecutionProvider)));
