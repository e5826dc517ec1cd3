/** For tests: a process in place of the one that decodes, which does what the text behind an image's first 8 bytes says. */
import { existsSync, writeFileSync } from 'node:fs';
import type { DecodeReply, DecodeTask } from '../decode-protocol.ts';

const reply = (message: DecodeReply) => process.send?.(message);
const held: Uint8Array[] = [];

process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'));
process.on('message', ({ bytes, spec, allowance }: DecodeTask) => {
  const [order = '', argument = ''] = Buffer.from(bytes.subarray(8)).toString().split(' ');
  switch (order) {
    case 'spin':
      for (;;);
    case 'hang':
      return;
    case 'eat':
      for (;;) held.push(new Uint8Array(2 ** 24).fill(1));
    case 'segfault':
      process.stderr.write('secret of the decoder\n');
      process.kill(process.pid, 'SIGSEGV');
      return;
    case 'be-killed':
      process.kill(process.pid, 'SIGKILL');
      return;
    case 'stop-once':
      // The file at this path says that it has done so before.
      if (!existsSync(argument)) {
        writeFileSync(argument, '');
        process.kill(process.pid, 'SIGSTOP');
        return;
      }
      break;
    case 'need': {
      const memory = Number(argument);
      if (memory > allowance) return void reply({ type: 'heavy', memory });
    }
  }
  const rgb = new Uint8Array(3 * spec.size ** 2);
  return void reply({ type: 'done', info: { width: 1, height: 1, format: 'png' }, rgb });
});
process.send?.({ type: 'ready' });
