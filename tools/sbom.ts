/** `npm run sbom`: a bill of materials (CycloneDX) of what the GPU worker, the edge, or the tools run with. */
import { writeFile } from 'node:fs/promises';
import { configure } from '@blip2/shared/config/configure';
import { SBOM } from './programs/maintenance.ts';
import { sbomOf } from './supply-chain/sbom.ts';

const { values: config } = configure(SBOM);
const text = `${JSON.stringify(await sbomOf(config.part), null, 2)}\n`;
if (config.out === undefined) process.stdout.write(text);
else await writeFile(config.out, text);
