/** The first page in a real browser: drop an image, read the caption, ask a question. */
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Browser, chromium, type Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Stack, startStack } from '../../tools/local-stack.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { type TestImage, testImages } from '../support/test-images.ts';

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

/** Milliseconds that a busy machine may need for a caption. */
const WAIT = 60_000;

/** Awaits the last text of this test id on the page. */
const text = (page: Page, id: string) =>
  expect.poll(() => page.locator(`[data-testid=${id}]`).last().textContent(), { timeout: WAIT });

// CI installs Chromium; elsewhere the test runs where one is found (CHROMIUM_PATH names it).
describe.skipIf(!existsSync(executablePath) && !process.env.CI)('the page', () => {
  let stack: Stack;
  let browser: Browser;
  let image: TestImage;
  const file = join(temporaryFolder(), 'scene.webp');

  beforeAll(async () => {
    const all = await testImages(4);
    image = all[2]!;
    await writeFile(file, image.bytes);
    stack = await startStack();
    browser = await chromium.launch({ executablePath, args: FLAGS });
  });
  afterAll(async () => {
    await browser?.close();
    await stack?.stop();
  });

  /** A new tab, and the errors it has had. */
  async function open() {
    const page = await browser.newPage();
    const errors: string[] = [];
    page.on('pageerror', (error) => errors.push(error.message));
    page.on('console', (message) => message.type() === 'error' && errors.push(message.text()));
    return { page, errors };
  }

  it('captions a chosen image, answers a question and reports the hit', async () => {
    const { page, errors } = await open();
    await page.goto(stack.url);
    await page.locator('input[type=file]').setInputFiles(file);
    await text(page, 'cache').toMatch(/miss|hit/);
    await text(page, 'caption').toMatch(/\w+ \w+/);
    await page.locator('[data-testid=question]').fill('what color is the background?');
    await page.keyboard.press('Enter');
    await text(page, 'answer').toMatch(/\w+/);
    await text(page, 'cache').toMatch(/hit/);
    expect(errors).toEqual([]);
  });

  it('queues questions that are asked while the caption is being streamed, and answers in turn', async () => {
    const { page, errors } = await open();
    // The caption's stream is held back until both questions were asked.
    let release = () => {};
    const asked = new Promise<void>((resolve) => {
      release = resolve;
    });
    await page.route('**/v1/captions*', async (route) => {
      await asked;
      await route.continue();
    });
    await page.goto(stack.url);
    await page.locator('input[type=file]').setInputFiles(file);
    for (const question of ['what color is the background?', 'how many things are there?']) {
      await page.locator('[data-testid=question]').fill(question);
      await page.keyboard.press('Enter');
    }
    expect(await page.locator('[data-testid=answer]').allTextContents()).toEqual(['', '']);
    release();
    await expect.poll(() => page.locator('[data-testid=cache]').count(), { timeout: WAIT }).toBe(3);
    const [first, second] = await page.locator('[data-testid=answer]').allTextContents();
    expect(first).toMatch(/\w+/);
    expect(second).toMatch(/\w+/);
    expect(errors).toEqual([]);
  });

  it('disables questions for a file that is no image', async () => {
    const { page } = await open();
    await page.goto(stack.url);
    await page
      .locator('input[type=file]')
      .setInputFiles({ name: 'notes.png', mimeType: 'image/png', buffer: Buffer.from('notes') });
    await text(page, 'caption').toMatch(/image/i);
    await expect
      .poll(() => page.locator('[data-testid=question]').isDisabled(), { timeout: WAIT })
      .toBe(true);
  });
});
