/** More calls than can be served. */
import { setTimeout as delay } from 'node:timers/promises';
import type { FaultScenario } from '../scenario.ts';

const MEASURE_MS = 4000;
const TIMES = 10;
const SECONDS = 60;

export const LOAD_SCENARIOS: readonly FaultScenario[] = [
  {
    kind: 'fault',
    name: 'overload',
    about: `calls come at ${TIMES} times the rate at which they are served, for ${SECONDS} s`,
    run: async (world) => {
      const answered = () => world.traffic.tally.saw.get('200') ?? 0;
      const before = answered();
      await delay(MEASURE_MS);
      const perSecond = Math.max(1, (1000 * (answered() - before)) / MEASURE_MS);
      const start = performance.now();
      // Due at their time, whatever has become of those before them.
      for (let sent = 0; sent < SECONDS * TIMES * perSecond; sent++) {
        const dueMs = (1000 * sent) / (TIMES * perSecond);
        await delay(Math.max(0, dueMs - (performance.now() - start)));
        world.traffic.callOnce();
      }
      world.faulted();
    },
  },
];
