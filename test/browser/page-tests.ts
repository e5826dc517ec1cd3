/** What the tests of the page share: the whole service with a gate before it, a browser, and the parts of the page. */
import { existsSync } from 'node:fs';
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect } from 'vitest';
import { type Stack, startStack } from '../../tools/local-stack.ts';
import { type ApiDocument, readerOf } from '../support/described-reply.ts';
import { type Gate, openGate } from './gate.ts';

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
export const WAIT = 60_000;

export type OpenPage = { page: Page; errors: string[] };

export type Service = {
  readonly stack: Stack;
  readonly gate: Gate;
  /** A new tab that shows the page, and the errors it has had. */
  open: (options?: BrowserContextOptions) => Promise<OpenPage>;
};

/**
 * Tests with a service of their own, whose variables may differ.
 *
 * CI installs Chromium; elsewhere they run where one is found (CHROMIUM_PATH names it).
 */
export function describePage(
  name: string,
  tests: (service: Service) => void,
  vars: Readonly<Record<string, string>> = {},
): void {
  const isThere = existsSync(executablePath) || process.env.CI !== undefined;
  if (!isThere) console.warn(`Tests of the page are skipped: there is no ${executablePath}.`);
  describe.skipIf(!isThere)(name, () => {
    let stack: Stack;
    let gate: Gate;
    let browser: Browser;
    const undescribed: string[] = [];
    beforeAll(async () => {
      stack = await startStack({ vars: { ALLOW_PRIVATE_IMAGE_URLS: 'true', ...vars } });
      const document = await (await fetch(`${stack.url}/openapi.json`)).json();
      const read = readerOf(document as ApiDocument);
      gate = await openGate(stack.url, (reply) => undescribed.push(...read(reply)));
      browser = await chromium.launch({ executablePath, args: FLAGS });
    });
    afterAll(async () => {
      await browser?.close();
      await gate?.close();
      await stack?.stop();
      expect(undescribed, 'replies that the OpenAPI document does not describe').toEqual([]);
    });
    tests({
      get stack() {
        return stack;
      },
      get gate() {
        return gate;
      },
      open: async (options = {}) => {
        const context = await browser.newContext(options);
        context.setDefaultTimeout(WAIT);
        const page = await context.newPage();
        const errors: string[] = [];
        page.on('pageerror', (error) => errors.push(error.message));
        page.on('console', (message) => message.type() === 'error' && errors.push(message.text()));
        await page.goto(gate.url);
        return { page, errors };
      },
    });
  });
}

/** Awaits the last text of this test id on the page. */
export function text(page: Page, id: string): ReturnType<typeof expect.poll> {
  const element = page.locator(`[data-testid=${id}]`).last();
  return expect.poll(() => element.textContent(), { timeout: WAIT });
}

/** Waits until the last turn is in one of these states. */
export async function turnIs(page: Page, ...states: string[]): Promise<void> {
  const selectors = states.map((state) => `.turn[data-state=${state}]:last-child`);
  await page.locator(selectors.join(', ')).waitFor();
}

/** Chooses the sample of this name, and waits for its caption. */
export async function chooseSample(page: Page, name: string): Promise<void> {
  await page.getByRole('button', { name: `Sample: ${name}` }).click();
  await turnIs(page, 'done');
}

export async function type(page: Page, question: string): Promise<void> {
  await page.locator('[data-testid=question]').fill(question);
  await page.keyboard.press('Enter');
}

/** Asks, and waits for the answer. */
export async function ask(page: Page, question: string): Promise<string> {
  const answers = page.locator('[data-testid=answer]');
  const before = await answers.count();
  await type(page, question);
  await expect.poll(() => answers.count(), { timeout: WAIT }).toBe(before + 1);
  await turnIs(page, 'done');
  return (await answers.last().textContent()) ?? '';
}
