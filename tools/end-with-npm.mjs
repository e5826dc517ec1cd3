// Says when a command that npm started has to end: npm passes on some signals only, and none when it is killed.
// Plain JavaScript: it must run on whatever Node is there.

/** Milliseconds between two checks whether npm still runs. */
const LOOK_MS = 250;

/**
 * Calls `end` with the signal when this process gets one, or with `SIGTERM` when its parent, npm, is gone; any number
 * of times.
 * @param {(signal: NodeJS.Signals) => void} end
 * @returns {() => void} stops it: from then on a signal ends this process at once
 */
export function onEnd(end) {
  // npm's shell has become this process.
  const npm = process.ppid;
  const look = setInterval(() => process.ppid === npm || end('SIGTERM'), LOOK_MS);
  look.unref();
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'];
  for (const signal of signals) process.on(signal, end);
  return () => {
    clearInterval(look);
    for (const signal of signals) process.off(signal, end);
  };
}
