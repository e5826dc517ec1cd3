/** A few scenarios of `npm run chaos`: nothing is lost, stuck or wrong, and the service recovers. */
import { describe, expect, it } from 'vitest';
import { randomOf } from '../../tools/chaos/random.ts';
import { runScenario } from '../../tools/chaos/run-scenario.ts';
import { SHORT_SCENARIOS } from '../../tools/chaos/scenarios/index.ts';

/** A scenario has limits of its own, which are seconds on a machine that does nothing else. */
const PATIENCE_MS = 300_000;

describe.runIf(process.platform === 'linux')('the service', () => {
  it.each(SHORT_SCENARIOS.map((scenario) => [scenario.name, scenario] as const))(
    'survives %s',
    async (_name, scenario) => {
      const result = await runScenario(scenario, randomOf(7), () => {});
      expect(result).toMatchObject({ lost: 0, wrong: 0, stuck: 0 });
      expect(result).toHaveProperty('recoverySeconds', expect.any(Number));
    },
    PATIENCE_MS,
  );
});
