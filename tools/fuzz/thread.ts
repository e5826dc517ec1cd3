/** The thread in which inputs are given to code that runs in this process. */
import { parentPort, workerData } from 'node:worker_threads';
import { readCheckpoint } from './subjects/checkpoint.ts';
import { readArguments } from './subjects/command-line.ts';
import { readEmbeddings } from './subjects/embedding-values.ts';
import { readFrameBytes } from './subjects/frames.ts';

/** What came of an input: the kind of outcome, or what should not have been thrown. */
export type ThreadReply = { outcome: string } | { failure: string };

/** Each takes an input of its target, and returns the kind of outcome. */
const SUBJECTS = {
  frames: readFrameBytes,
  'embedding-values': readEmbeddings,
  'command-line': readArguments,
  checkpoint: readCheckpoint,
} as const;
export type SubjectName = keyof typeof SUBJECTS;

const subject = SUBJECTS[workerData as SubjectName] as (input: unknown) => string | Promise<string>;

parentPort?.on('message', async (input: unknown) => {
  let reply: ThreadReply;
  try {
    reply = { outcome: await subject(input) };
  } catch (error) {
    const { name, message, stack = '' } = error as Error;
    reply = { failure: name === 'Violation' ? message : `${name}: ${message}\n${stack}` };
  }
  parentPort?.postMessage(reply);
});
