/** For tests: `node --import` it, and SIGUSR2 crashes the engine thread. */
import { crash, engineThread } from './crash-engine.ts';

engineThread().then((thread) => process.on('SIGUSR2', () => crash(thread)));
