#!/usr/bin/env node
// `npx blip2`: starts the command line, or says what to do where it cannot run. Plain JavaScript: any Node reads it.
import { existsSync } from 'node:fs';

const isInstalled = existsSync(new URL('../node_modules/@blip2/shared', import.meta.url));
const isNewNode = Number(process.versions.node.split('.')[0]) >= 24;

try {
  if (isInstalled && isNewNode) await import('./blip2.ts');
  else refuse();
} catch (error) {
  // An install that was broken off.
  if (error.code !== 'ERR_MODULE_NOT_FOUND') throw error;
  refuse();
}

function refuse() {
  console.error(
    isInstalled && !isNewNode
      ? `Node ${process.versions.node} is too old for blip2: start it with npx blip2, which takes the Node of the packages, or install Node 24.`
      : 'The packages of blip2 are not installed: run "npm ci" at the root of the repository (npm start does so, too), then npx blip2 again.',
  );
  process.exitCode = 2;
}
