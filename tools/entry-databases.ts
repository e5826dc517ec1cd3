/** The databases in which miniflare has the entries of KV and of the cache: one for each namespace, in one table of the same form. */
import { glob } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync, type DatabaseSyncOptions } from 'node:sqlite';

/**
 * Opens one after the other, each until the next. Its table `_mf_entries` has `key`, `blob_id`, and `expiration` in milliseconds since
 * 1970, with an index, null where it never expires.
 * @param folder of a kind, `v3/kv` or `v3/cache`, whether it is there or not
 */
export async function* entryDatabases(
  folder: string,
  options: DatabaseSyncOptions,
): AsyncGenerator<DatabaseSync> {
  for await (const path of glob('*/*.sqlite', { cwd: folder, exclude: ['*/blobs'] })) {
    using database = new DatabaseSync(join(folder, path), options);
    // What workerd has beside them for alarms has no such table, nor has one that it is making.
    if (database.prepare("SELECT 1 FROM sqlite_schema WHERE name = '_mf_entries'").get()) {
      yield database;
    }
  }
}
