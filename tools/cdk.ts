/** Runs the CDK app, whose packages (190 MB) are installed when it is asked for, and not for everybody. */
import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Settings } from '../infra/src/settings.ts';
import { ROOT } from './prepare-edge.ts';

const run = promisify(execFile);
const FOLDER = join(ROOT, 'infra/cdk');
/** The lock file whose packages are there. */
const STAMP = join(FOLDER, 'node_modules/.installed-lock.json');

/** Installs the packages of the CDK app unless they are there. */
export async function installCdk(): Promise<void> {
  const [wanted, present] = await Promise.all(
    [join(FOLDER, 'package-lock.json'), STAMP].map((path) =>
      readFile(path, 'utf8').catch(() => ''),
    ),
  );
  if (wanted === present) return;
  console.error('Installing the packages of the CDK app (once, 190 MB) …');
  await run('npm', ['ci'], { cwd: FOLDER });
  await writeFile(STAMP, wanted ?? '');
}

/**
 * Synthesizes the stack and checks it by the rules of AWS Solutions; needs no account.
 * @param outdir for the cloud assembly
 * @throws Error with what cdk-nag objects to
 */
export async function synthesizeCdk(settings: Settings, outdir: string): Promise<void> {
  await installCdk();
  const main = join(FOLDER, 'src/main.ts');
  await run(process.execPath, [main, JSON.stringify(settings), outdir], {
    cwd: FOLDER,
    maxBuffer: 2 ** 26,
  });
}
