// One command at a time installs: `npm ci` deletes what another has just put there. Plain JavaScript, on whatever Node.
import { readFileSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { onEnd } from './end-with-npm.mjs';

/** Milliseconds between two looks at a lock, and between two touches of one's own. */
const LOOK_MS = 250;
const TOUCH_MS = 2000;
/** A lock that was not touched for so long is nobody's, whatever its process id says. */
const ABANDONED_MS = 15_000;

/**
 * Waits for whoever has the lock, and takes it.
 * @param {string} path outside the folder that is installed into
 * @returns {Promise<() => void>} gives it back, as the end of this process does
 */
export async function lockInstall(path) {
  if (!take(path)) {
    console.error('Another command installs the packages: waiting for it …');
    const stopListening = onEnd((signal) => process.exit(128 + constants.signals[signal]));
    do {
      if (isAbandoned(path)) putAway(path);
      else await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    } while (!take(path));
    stopListening();
  }
  const heartbeat = setInterval(() => {
    const now = new Date();
    try {
      utimesSync(path, now, now);
    } catch {
      // Somebody has removed it.
    }
  }, TOUCH_MS);
  heartbeat.unref();
  const release = () => {
    clearInterval(heartbeat);
    rmSync(path, { force: true });
  };
  process.once('exit', release);
  return () => {
    process.off('exit', release);
    release();
  };
}

/** Whether it is ours now; where no file can be written, what is done next says so better. */
function take(path) {
  try {
    writeFileSync(path, String(process.pid), { flag: 'wx' });
    return true;
  } catch (error) {
    return error.code !== 'EEXIST';
  }
}

function isAbandoned(path) {
  try {
    if (Date.now() - statSync(path).mtimeMs > ABANDONED_MS) return true;
    const pid = Number(readFileSync(path, 'utf8'));
    return pid > 0 && !isAlive(pid);
  } catch {
    // It was given back.
    return false;
  }
}

/** Of several that find it abandoned one moves it away. */
function putAway(path) {
  const away = `${path}.${process.pid}`;
  try {
    renameSync(path, away);
  } catch {
    return;
  }
  rmSync(away, { force: true });
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}
