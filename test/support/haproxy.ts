/** Whether tests that need HAProxy can run. */
import { hasHaproxy } from '../../tools/haproxy.ts';

export const isHaproxyInstalled = hasHaproxy();
if (!isHaproxyInstalled)
  console.warn('HAProxy is not installed (apt-get install haproxy): its tests are skipped.');
