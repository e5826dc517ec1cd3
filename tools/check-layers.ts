/** `npm run layers`: names each import that does not go down. */
import { fileURLToPath } from 'node:url';
import { configure } from '@blip2/shared/config/configure';
import { objectionTo } from './layers/layers.ts';
import { readImports } from './layers/read-imports.ts';
import { LAYERS } from './programs/maintenance.ts';

configure(LAYERS);

const imports = readImports(fileURLToPath(new URL('..', import.meta.url)));
const objections = [...imports].flatMap(([file, targets]) =>
  targets.flatMap((target) => objectionTo(file, target) ?? []),
);
for (const objection of objections) console.error(objection);
if (objections.length > 0) {
  console.error(
    `${objections.length} imports do not go down; tools/layers/layers.ts has the table.`,
  );
  process.exitCode = 1;
}
