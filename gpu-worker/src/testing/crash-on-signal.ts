/** For tests: `node --import` it. The first SIGUSR2 lets the engine do some passes more, then it waits; the second crashes its thread. */
import { allowPasses } from '../engine/testing/gate.ts';
import { crash, engineThread, gateEngine } from './crash-engine.ts';

const PASSES = 20;

const gate = gateEngine();
engineThread().then((thread) => {
  process.once('SIGUSR2', () => {
    allowPasses(gate, PASSES);
    process.on('SIGUSR2', () => crash(thread));
  });
});
