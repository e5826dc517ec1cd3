/** The thread in which inputs are given to code that runs in this process. */
import { parentPort, workerData } from 'node:worker_threads';
/** What came of an input: the kind of outcome, or what should not have been thrown. */
export type ThreadReply = { outcome: string } | { failure: string };

type Subject = (input: never) => string | Promise<string>;

/** Each takes an input of its target, and returns the kind of outcome; loaded only where it is needed. */
const SUBJECTS = {
  frames: async () => (await import('./subjects/frames.ts')).readFrameBytes,
  'embedding-values': async () => (await import('./subjects/embedding-values.ts')).readEmbeddings,
  'command-line': async () => (await import('./subjects/command-line.ts')).readArguments,
  checkpoint: async () => (await import('./subjects/checkpoint.ts')).readCheckpoint,
} as const satisfies Record<string, () => Promise<Subject>>;
export type SubjectName = keyof typeof SUBJECTS;

const subject: Subject = await SUBJECTS[workerData as SubjectName]();

parentPort?.on('message', async (input: unknown) => {
  let reply: ThreadReply;
  try {
    reply = { outcome: await subject(input as never) };
  } catch (error) {
    const { name, message, stack = '' } = error as Error;
    reply = { failure: name === 'Violation' ? message : `${name}: ${message}\n${stack}` };
  }
  parentPort?.postMessage(reply);
});
