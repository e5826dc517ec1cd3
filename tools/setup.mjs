// Installs what is missing before any other command. Plain JavaScript: it must run on whatever Node is there.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const stamp = join(root, 'node_modules', '.installed-lock');
const lock = createHash('sha256')
  .update(readFileSync(join(root, 'package-lock.json')))
  .digest('hex');

if (!existsSync(stamp) || readFileSync(stamp, 'utf8') !== lock) {
  console.error('Installing dependencies (once, about a minute) …');
  // onnxruntime-node's install step would download CUDA libraries; the CPU and WebGPU providers are in the package.
  const install = spawnSync('npm', ['ci', '--no-fund', '--no-audit'], {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit'],
    shell: process.platform === 'win32',
    env: { ...process.env, ONNXRUNTIME_NODE_INSTALL: 'skip' },
  });
  if (install.status !== 0) {
    console.error(
      'npm ci failed. Check the network and the registry of npm, then run the command again.',
    );
    process.exit(install.status ?? 1);
  }
  writeFileSync(stamp, lock);
}

const bundledNode = join(root, 'node_modules', '.bin', 'node');
const major = Number(process.versions.node.split('.')[0]);
if (major < 24 && !existsSync(bundledNode)) {
  console.error(
    `Node ${process.versions.node} is too old: Node 24 or later is needed on this system.`,
  );
  process.exit(1);
}
