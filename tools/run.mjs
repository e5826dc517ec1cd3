// Runs one of our commands, `node tools/run.mjs tools/start.ts …`: installs what is missing, uses the right Node, and
// ends the command when npm is signaled or gone. Plain JavaScript: it must run on whatever Node is there.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { constants } from 'node:os';
import { fileURLToPath } from 'node:url';
import { onEnd } from './end-with-npm.mjs';
import { install } from './install.mjs';

await install();

const bundled = fileURLToPath(new URL('../node_modules/.bin/node', import.meta.url));
const node = existsSync(bundled) ? bundled : process.execPath;
const preload = new URL('ends-with-launcher.ts', import.meta.url).href;
const child = spawn(node, ['--import', preload, ...process.argv.slice(2)], {
  stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
});

// Not forwarded: a terminal sends Ctrl-C to everybody at once, and the command would take the second for impatience.
// A command that has replaced itself by another program has no channel any more, and has to tell the two apart.
let isEnding = false;
onEnd(() => {
  if (isEnding) return;
  isEnding = true;
  if (child.connected) child.disconnect();
  else child.kill('SIGTERM');
});

child.on('error', ({ message }) => {
  console.error(
    `${node} could not be started: ${message}. Delete node_modules, then run the command again.`,
  );
  process.exit(1);
});
child.on('exit', (code, signal) => {
  process.exit(code ?? 128 + constants.signals[signal]);
});
