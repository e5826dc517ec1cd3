/** For tests: `node --import` it, and the engine thread crashes in the middle of its first reply. */
import { crashOnTokens } from './crash-engine.ts';

crashOnTokens(1);
