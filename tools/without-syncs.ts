/** Databases of SQLite that do not wait for the disk at each write. */
import { DatabaseSync } from 'node:sqlite';

const WRITE_AHEAD = /journal_mode\s*=\s*WAL/i;

/**
 * Runs what opens databases with a write-ahead log, whose connections then sync it with the disk at checkpoints alone. What was
 * written outlasts the end of the process, however it ends; a machine that loses its power may lose the last of it.
 * @param open opens them before it returns: those that are opened later are as ever
 * @example const server = withoutSyncs(() => startServer({ dataDir }));
 */
export function withoutSyncs<T>(open: () => T): T {
  const { prototype } = DatabaseSync;
  const { exec } = prototype;
  prototype.exec = function (this: DatabaseSync, sql) {
    exec.call(this, sql);
    if (WRITE_AHEAD.test(sql)) exec.call(this, 'PRAGMA synchronous = NORMAL');
  };
  try {
    return open();
  } finally {
    prototype.exec = exec;
  }
}
