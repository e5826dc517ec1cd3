/** `npm run screenshot`: the image of the page in the README, taken from the running service. */
import { join } from 'node:path';
import { configure } from '@blip2/shared/config/configure';
import { chromium } from 'playwright-core';
import { ROOT } from './prepare-edge.ts';
import { SCREENSHOT } from './programs/maintenance.ts';
import { startOrExit } from './start-or-exit.ts';

const { values: config } = configure(SCREENSHOT);
const stack = await startOrExit({ model: config });
const browser = await chromium.launch({
  executablePath: config.chromium,
  args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-sync'],
});
try {
  const page = await browser.newPage({ viewport: { width: 1180, height: 860 } });
  await page.goto(stack.url);
  await page.getByRole('button', { name: 'Sample: elephant and bee' }).click();
  const done = page.locator('.turn[data-state=done]');
  await done.waitFor();
  for (const i of [0, 1, 2]) {
    await page.locator('#chips button').nth(i).click();
    await done.nth(i + 1).waitFor();
  }
  await page.screenshot({ path: join(ROOT, 'docs/page.png') });
} finally {
  await browser.close();
  await stack.stop();
}
process.exit(0);
