/** What is committed of a deployment is what its code makes. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { withDefaults } from '@blip2/shared/config/option';
import { expect, it } from 'vitest';
import { manifestsYaml } from '../../infra/src/kubernetes/manifests.ts';
import { placeholdersIn, SETTINGS } from '../../infra/src/settings.ts';
import { generatedInfra } from '../../tools/infra.ts';
import { ROOT } from '../../tools/prepare-edge.ts';

it.each(Object.entries(generatedInfra()))(
  '%s is what npm run infra -- write writes',
  async (path, text) => {
    expect(await readFile(join(ROOT, path), 'utf8')).toBe(text);
  },
);

it('examples that stand for values of an operator are named by their flags', () => {
  const named = (values: Parameters<typeof withDefaults<typeof SETTINGS>>[1]) => {
    const settings = withDefaults(SETTINGS, values);
    return placeholdersIn(manifestsYaml(settings), settings);
  };
  expect(named({})).toEqual(['--image', '--edge-url', '--queue-url', '--dead-letter-url']);
  const edgeUrl = 'https://captions.test.org';
  expect(named({ image: 'ghcr.io/a/b:1', edgeUrl })).toEqual(['--queue-url', '--dead-letter-url']);
});
