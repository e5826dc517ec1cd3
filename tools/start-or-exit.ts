/** Starts the stack for a command: status lines meanwhile; where it cannot start, a message in place of a stack trace. */
import { styleText } from 'node:util';
import { type Stack, type StackOptions, startStack } from './local-stack.ts';
import { type StatusLine, statusLine } from './status-line.ts';

/** Ends this process with 1 when the stack does not start: what is wrong is the user's to mend. */
export async function startOrExit(
  options: StackOptions,
  line: StatusLine = statusLine(),
): Promise<Stack> {
  try {
    return await startStack({ ...options, onStatus: line.update });
  } catch (error) {
    line.clear();
    console.error(styleText('red', error instanceof Error ? error.message : String(error)));
    process.exit(1);
  } finally {
    line.clear();
  }
}
