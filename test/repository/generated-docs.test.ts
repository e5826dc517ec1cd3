/** The generated pages are those that the declarations in the code generate. */
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { generatedDocs } from '../../tools/write-docs.ts';

it.each(Object.entries(await generatedDocs()))(
  '%s is what npm run docs writes',
  async (path, text) => {
    const committed = fileURLToPath(new URL(`../../${path}`, import.meta.url));
    expect(await readFile(committed, 'utf8')).toBe(text);
  },
);
