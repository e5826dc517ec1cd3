// Installs what is missing before any other command. Plain JavaScript: it must run on whatever Node is there.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { onEnd } from './end-with-npm.mjs';
import { lockInstall } from './install-lock.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const stamp = join(root, 'node_modules', '.installed-lock');
/** What npm itself writes when it has installed all. */
const installedByNpm = join(root, 'node_modules', '.package-lock.json');
const isWindows = process.platform === 'win32';

/** How long npm may take to end when it is asked to. */
const PATIENCE_MS = 5000;
/** Bytes at the end of npm's messages in which its error is looked for. */
const LAST_BYTES = 10_000;

/** What npm calls an error, and what helps; the first that fits. */
const ADVICE = [
  [
    /\b(ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ERR_SOCKET_TIMEOUT|ETARGET|E40[137]|E50\d|\w*CERT\w*)\b/,
    'npm cannot get its packages. Check the network, HTTPS_PROXY, and "npm config get registry"; then run the command again.',
  ],
  [/\bENOSPC\b/, 'The disk is full: about 1 GB is needed. Free some, then run the command again.'],
  [
    /\b(EACCES|EPERM|EROFS)\b/,
    'This user may not write here. Make the folder and node_modules its own, then run the command again.',
  ],
  [
    /\bEUSAGE\b/,
    'package.json and package-lock.json do not agree. Take both from git, or run "npm install" if you changed one.',
  ],
  [
    /\b(ENOTEMPTY|EBUSY|EEXIST|EINTEGRITY)\b/,
    'Is another command installing here? Wait for it, or delete node_modules; then run the command again.',
  ],
];

/** Installs the packages of `package-lock.json` unless they are there; ends this process where that is not possible. */
export async function install() {
  refuseOldNode();
  const wanted = readFileSync(join(root, 'package-lock.json'), 'utf8');
  const lock = createHash('sha256').update(wanted).digest('hex');
  if (isStamped(lock)) return;
  const unlock = await lockInstall(join(root, '.installing'));
  // Whoever was waited for has installed the same, or npm ci has been run by hand.
  if (isStamped(lock) || hasInstalled(wanted)) {
    writeStamp(lock);
    return unlock();
  }
  console.error('Installing dependencies (once, about a minute) …');
  const { code, signal, errors } = await npmCi();
  if (signal !== null) process.exit(128 + constants.signals[signal]);
  if (code !== 0) {
    const known = ADVICE.find(([pattern]) => pattern.test(errors));
    console.error(known?.[1] ?? 'npm ci failed; its message is above.');
    process.exit(1);
  }
  writeStamp(lock);
  unlock();
}

function isStamped(lock) {
  return existsSync(stamp) && readFileSync(stamp, 'utf8') === lock;
}

/** Where this user may not write, packages that are there will do. */
function writeStamp(lock) {
  try {
    writeFileSync(stamp, lock);
  } catch {
    // They are compared again next time.
  }
}

/** Whether npm's own record of what it has installed, to the end, is that of the lock file. */
function hasInstalled(wanted) {
  if (!existsSync(installedByNpm) || !isPlatformWhole()) return false;
  const present = JSON.parse(readFileSync(installedByNpm, 'utf8')).packages;
  const isThere = ([path, { version, resolved, integrity, optional }]) => {
    const found = present[path];
    if (found === undefined) return path === '' || optional === true;
    return (
      found.version === version && found.resolved === resolved && found.integrity === integrity
    );
  };
  return Object.entries(JSON.parse(wanted).packages).every(isThere);
}

/** Node is the optional package without which nothing runs here. */
function isPlatformWhole() {
  return isNewNode() || existsSync(join(root, 'node_modules', '.bin', 'node'));
}

function isNewNode() {
  return Number(process.versions.node.split('.')[0]) >= 24;
}

/** Only for Linux on x64 there is a newer Node among the packages. */
function refuseOldNode() {
  const { version, platform, arch } = process;
  if (isNewNode() || (platform === 'linux' && arch === 'x64')) return;
  console.error(
    `Node ${version} is too old: Node 24 or later is needed on ${platform} ${arch} (https://nodejs.org).`,
  );
  process.exit(1);
}

/** Runs `npm ci`, and ends it with everything it has started when this process has to end. */
async function npmCi() {
  // Quiet by .npmrc: warnings, of the old Node among them, tell a user nothing that they could mend.
  const npm = spawn('npm', ['ci'], {
    cwd: root,
    stdio: ['ignore', 'inherit', 'pipe'],
    shell: isWindows,
    // A group of its own: npm would not end what it has started.
    detached: !isWindows,
    // onnxruntime-node's install step would download CUDA libraries; the CPU and WebGPU providers are in the package.
    env: { ...process.env, ONNXRUNTIME_NODE_INSTALL: 'skip' },
  });
  let errors = '';
  npm.stderr.on('data', (chunk) => {
    process.stderr.write(chunk);
    errors = (errors + chunk).slice(-LAST_BYTES);
  });
  let endedBy = null;
  const kill = (signal) => {
    try {
      if (isWindows) npm.kill(signal);
      else process.kill(-npm.pid, signal);
    } catch {
      // All have ended.
    }
  };
  const stopListening = onEnd((signal) => {
    if (endedBy !== null) return;
    endedBy = signal;
    kill('SIGTERM');
    setTimeout(kill, PATIENCE_MS, 'SIGKILL').unref();
  });
  const code = await new Promise((resolve) => {
    npm.on('close', resolve);
    npm.on('error', (error) => {
      errors = `npm could not be started: ${error.message}`;
      console.error(errors);
      resolve(1);
    });
  });
  stopListening();
  return { code, signal: endedBy, errors };
}
