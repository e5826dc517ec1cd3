/** `npm run screenshot`: the image of the page in the README, taken from the running service. */
import { join } from 'node:path';
import { configure } from '@blip2/shared/config/configure';
import { chromium } from 'playwright-core';
import { ROOT } from './prepare-edge.ts';
import { SCREENSHOT } from './programs.ts';
import { readScenes } from './scenes.ts';
import { startOrExit } from './start-or-exit.ts';

const { values: config } = configure(SCREENSHOT);
const stack = await startOrExit({ model: config });
const browser = await chromium.launch({
  executablePath: config.chromium,
  args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-sync'],
});
try {
  const scenes = await readScenes();
  const scene = scenes.find(({ layout }) => layout === 'pair') ?? scenes[0]!;
  const page = await browser.newPage({
    viewport: { width: 1100, height: 760 },
    deviceScaleFactor: 1,
  });
  await page.goto(stack.url);
  await page.locator('input[type=file]').setInputFiles(join(ROOT, 'test/scenes', scene.file));
  await page
    .locator('[data-testid=caption]')
    .filter({ hasText: /\w+ \w+/ })
    .waitFor();
  for (const { question } of scene.questions.slice(0, 3)) {
    const answers = await page.locator('[data-testid=answer]').count();
    await page.locator('[data-testid=question]').fill(question);
    await page.keyboard.press('Enter');
    await page
      .locator('[data-testid=cache]')
      .nth(answers + 1)
      .waitFor();
  }
  await page.screenshot({ path: join(ROOT, 'docs/page.png') });
} finally {
  await browser.close();
  await stack.stop();
}
process.exit(0);
