/** What is committed of a deployment is what its code makes. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { generatedInfra } from '../../tools/infra.ts';
import { ROOT } from '../../tools/prepare-edge.ts';

it.each(Object.entries(generatedInfra()))(
  '%s is what npm run infra -- write writes',
  async (path, text) => {
    expect(await readFile(join(ROOT, path), 'utf8')).toBe(text);
  },
);
