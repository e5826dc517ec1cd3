/** The first page in a real browser: drop a picture, read the caption, ask a question. */
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Browser, chromium } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Stack, startStack } from '../../scripts/stack.ts';
import { type Picture, pictures } from '../end-to-end/pictures.ts';

const executablePath = process.env.CHROMIUM_PATH ?? '/usr/bin/chromium';
const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

// CI installs Chromium; elsewhere the test runs where one is found (CHROMIUM_PATH names it).
describe.skipIf(!existsSync(executablePath) && !process.env.CI)('the page', () => {
  let stack: Stack;
  let browser: Browser;
  let picture: Picture;
  let file: string;

  beforeAll(async () => {
    const all = await pictures(4);
    picture = all[2]!;
    const folder = join(tmpdir(), `blip2-page-${process.pid}`);
    await mkdir(folder, { recursive: true });
    file = join(folder, 'scene.webp');
    await writeFile(file, picture.bytes);
    stack = await startStack();
    browser = await chromium.launch({ executablePath, args: FLAGS });
  });
  afterAll(async () => {
    await browser?.close();
    await stack?.stop();
  });

  it('captions a chosen picture, answers a question and says that it was a hit', async () => {
    const page = await browser.newPage();
    const errors: string[] = [];
    page.on('pageerror', (error) => errors.push(error.message));
    page.on('console', (message) => message.type() === 'error' && errors.push(message.text()));
    await page.goto(stack.url);
    await page.locator('input[type=file]').setInputFiles(file);
    await expect
      .poll(() => page.locator('[data-testid=caption]').textContent(), { timeout: 20_000 })
      .toMatch(/\w+ \w+/);
    await page.locator('[data-testid=question]').fill('what color is the background?');
    await page.keyboard.press('Enter');
    await expect
      .poll(() => page.locator('[data-testid=answer]').last().textContent(), { timeout: 20_000 })
      .toMatch(/\w+/);
    await expect
      .poll(() => page.locator('[data-testid=cache]').last().textContent(), { timeout: 20_000 })
      .toMatch(/hit|colo|kv/i);
    expect(errors).toEqual([]);
  });
});
