// Runs one of our commands, `node tools/run.mjs tools/start.ts …`: installs what is missing, uses the right Node, and
// ends the command when npm is signaled or gone. Plain JavaScript: it must run on whatever Node is there.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { constants } from 'node:os';
import { fileURLToPath } from 'node:url';
import './setup.mjs';

/** How often it is checked whether npm is alive. */
const CHECK_MS = 250;

const bundled = fileURLToPath(new URL('../node_modules/.bin/node', import.meta.url));
const node = existsSync(bundled) ? bundled : process.execPath;
const preload = new URL('ends-with-launcher.ts', import.meta.url).href;
const child = spawn(node, ['--import', preload, ...process.argv.slice(2)], {
  stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
});

// Not forwarded: a terminal sends Ctrl-C to everybody at once, and the command ends at once at the second.
const end = () => child.connected && child.disconnect();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, end);

// npm passes on some signals only, and none when it is killed. Its shell has become this process.
const npm = process.ppid;
setInterval(() => process.ppid === npm || end(), CHECK_MS).unref();

child.on('exit', (code, signal) => {
  process.exit(code ?? 128 + constants.signals[signal]);
});
