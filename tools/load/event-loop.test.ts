/** The watch over the generator's event loop, on a loop that is held up. */
import { setTimeout } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { watchEventLoop } from './event-loop.ts';

it('shows for how long the loop was held up', async () => {
  const watch = watchEventLoop();
  const end = performance.now() + 100;
  while (performance.now() < end);
  // The timer that is overdue by now is served before this one.
  await setTimeout(1);
  expect(watch.stop().max).toBeGreaterThan(80);
});
