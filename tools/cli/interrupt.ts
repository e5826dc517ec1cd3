/** What somebody who presses Ctrl-C reads: what goes on without this client, and how to come back to it. */
import { EXIT } from './failure.ts';
import { visible } from './terminal.ts';

let advice = '';

/** The advice from now on. */
export function onInterrupt(text: string): void {
  advice = text;
}

export function listenForInterrupt(): void {
  process.once('SIGINT', () => {
    if (process.stderr.isTTY) process.stderr.write('\r\x1b[2K');
    if (advice !== '') process.stderr.write(`${visible(advice, process.stderr)}\n`);
    process.exit(EXIT.interrupted);
  });
}
