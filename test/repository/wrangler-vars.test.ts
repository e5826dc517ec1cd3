/** `wrangler.toml` sets what the edge declares, to the declared defaults. */
import { withDefaults } from '@blip2/shared/config/option';
import { expect, it } from 'vitest';
import { unstable_readConfig } from 'wrangler';
import { EDGE_OPTIONS, readConfig } from '../../edge/src/config.ts';
import { EDGE_CONFIG } from '../../tools/local-stack.ts';

it('[vars] are the variables that the edge declares, with their defaults', () => {
  const { vars } = unstable_readConfig({ config: EDGE_CONFIG });
  const declared = Object.values(EDGE_OPTIONS).filter(({ secret }) => !secret);
  expect(Object.keys(vars)).toEqual(declared.map(({ env }) => env));
  expect(readConfig(vars)).toEqual(withDefaults(EDGE_OPTIONS));
});
