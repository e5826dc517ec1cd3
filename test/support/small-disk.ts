/** For tests: disks with little room, where this machine lets us mount any. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Whether disks can be mounted here: tests that need one are skipped where not. */
export const CAN_MOUNT = canMount();

/**
 * A disk at a folder, which is made where there is none.
 * @param size as mount writes it
 * @example using _disk = smallDisk(bundles, '64k');
 */
export function smallDisk(folder: string, size: string): Disposable {
  mkdirSync(folder, { recursive: true });
  if (!mount(folder, size)) throw new Error(`No disk can be mounted at ${folder}.`);
  return { [Symbol.dispose]: () => void spawnSync('umount', ['-l', folder]) };
}

function mount(folder: string, size: string): boolean {
  const options = ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', folder];
  return spawnSync('mount', options).status === 0;
}

function canMount(): boolean {
  const folder = mkdtempSync(join(tmpdir(), 'blip2-mount-'));
  const isMounted = mount(folder, '64k');
  if (isMounted) spawnSync('umount', ['-l', folder]);
  rmdirSync(folder);
  return isMounted;
}
