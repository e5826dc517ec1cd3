/** `npm run licenses`: the licenses of what runs, and whether each of them may; `--write` updates NOTICE. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { configure } from '@blip2/shared/config/configure';
import { markdownTable } from 'markdown-table';
import { ROOT } from './prepare-edge.ts';
import { LICENSES } from './programs/maintenance.ts';
import {
  installedLibvips,
  isLibvips,
  librariesOfLibvips,
  noticesOf,
} from './supply-chain/bundled-libraries.ts';
import { objectionTo, objectionToBundled } from './supply-chain/license-policy.ts';
import { PARTS, type Package, type Part, packagesOf } from './supply-chain/lock.ts';
import { withPackages } from './supply-chain/notice.ts';

const { values: config } = configure(LICENSES);
const libvips = installedLibvips();
const bundled = libvips === null ? [] : librariesOfLibvips(libvips);
const parts = Object.keys(PARTS) as Part[];

if (config.write) {
  const notice = join(ROOT, 'NOTICE');
  await writeFile(notice, withPackages(await readFile(notice, 'utf8')));
}
for (const part of config.part === undefined ? parts : [config.part]) {
  const rows = packagesOf(part).map((one) => [one.name, one.version, one.license, remarkOn(one)]);
  console.log(
    `\n${part}\n\n${markdownTable([['package', 'version', 'license', 'within it'], ...rows])}`,
  );
}
console.log(
  `\ncompiled into libvips\n\n${markdownTable([['library', 'version', 'license'], ...bundled.map(({ name, version, license }) => [name, version, license])])}`,
);
const objections = [
  ...parts.flatMap((part) => packagesOf(part).map((one) => objectionTo(one, part))),
  ...bundled.map(objectionToBundled),
].filter((objection) => objection !== null);
for (const objection of objections) console.error(`${objection}, which is not allowed here.`);
process.exit(objections.length > 0 ? 1 : 0);

function remarkOn(one: Package): string {
  return noticesOf(one) ?? (isLibvips(one) ? 'the libraries below' : '');
}
