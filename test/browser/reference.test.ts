/** The reference page in a browser: for everybody, on every screen, with and without JavaScript, with nothing from elsewhere. */
import axe from 'axe-core';
import type { BrowserContextOptions, Page } from 'playwright-core';
import { expect, it } from 'vitest';
import { describePage } from './page-tests.ts';

const DESKTOP = { viewport: { width: 1280, height: 800 } };
const PHONE = { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true };
/** 1280 x 1024 at 400 %. */
const ENLARGED = { viewport: { width: 320, height: 256 }, deviceScaleFactor: 4 };
const SCREENS: [string, BrowserContextOptions][] = [
  ['1280 px', DESKTOP],
  ['a phone', PHONE],
  ['a zoom of 400 %', ENLARGED],
];

describePage('the reference', (service) => {
  async function openReference(options: BrowserContextOptions = DESKTOP, hash = '') {
    const opened = await service.open(options);
    const elsewhere: string[] = [];
    opened.page.on('request', (request) => {
      if (!/^(data:|http:\/\/127\.0\.0\.1:)/.test(request.url())) elsewhere.push(request.url());
    });
    await opened.page.goto(`${service.gate.url}/docs${hash}`);
    return { ...opened, elsewhere };
  }
  const shown = (page: Page) => page.locator('main article[data-entry]:visible');

  it.each([
    ['1280 px', 'light', DESKTOP],
    ['a phone', 'dark', PHONE],
  ] as const)(
    'has no violation that axe knows, on %s, %s, and loads nothing from elsewhere',
    async (_name, colorScheme, options) => {
      const { page, errors, elsewhere } = await openReference({ ...options, colorScheme });
      // Details too.
      await page.evaluate(
        "for (const one of document.querySelectorAll('details')) one.open = true",
      );
      await page.evaluate(axe.source);
      const { violations } = (await page.evaluate('axe.run()')) as axe.AxeResults;
      const found = violations.flatMap(({ id, nodes }) =>
        nodes.map(({ html }) => `${id}: ${html.slice(0, 200)}`),
      );
      expect(found).toEqual([]);
      expect(errors).toEqual([]);
      expect(elsewhere).toEqual([]);
    },
  );

  it.each(SCREENS)('is not wider than %s', async (_name, options) => {
    const { page } = await openReference(options);
    const { width } = options.viewport!;
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(width);
  });

  it('is reached from the page, and leads back', async () => {
    const { page } = await service.open(DESKTOP);
    await page.getByRole('link', { name: 'API', exact: true }).click();
    await page.waitForURL('**/docs');
    expect(await page.title()).toContain('API');
    await page.getByRole('link', { name: 'Try it', exact: true }).click();
    await page.locator('#question').waitFor();
  });

  it.each(['#createCaption', '#problem-overloaded', '#schema-CaptionRequest'])(
    'shows what a link to %s names',
    async (hash) => {
      const { page } = await openReference(DESKTOP, hash);
      const box = await page.locator(hash).boundingBox();
      expect(box!.y).toBeGreaterThan(-1);
      expect(box!.y).toBeLessThan(800);
    },
  );

  it('leads from a problem of a route to its page', async () => {
    const { page } = await openReference(DESKTOP, '#createCaption');
    await page.locator('#createCaption summary', { hasText: 'Errors' }).click();
    await page.locator('#createCaption a[href="#problem-overloaded"]').first().click();
    await page.locator('#problem-overloaded dt a').click();
    await page.waitForURL('**/problems/overloaded');
    expect(await page.textContent('body')).toContain('What to do:');
  });

  it('finds routes by words of their path and summary', async () => {
    const { page } = await openReference();
    const all = await shown(page).count();
    await page.getByLabel('Find a route').fill('post answer');
    expect(await shown(page).count()).toBeLessThan(all);
    expect(await page.locator('#createAnswer').isVisible()).toBe(true);
    expect(await page.locator('#getHealth').isVisible()).toBe(false);
    expect(await page.locator('#found').textContent()).toBe(`${await shown(page).count()} routes`);
    // A link to what is not shown shows it.
    await page.evaluate("location.hash = '#getHealth'");
    await page.locator('#getHealth').waitFor();
    expect(await shown(page).count()).toBe(all);
  });

  it('copies a command', async () => {
    const { page } = await openReference({
      ...DESKTOP,
      permissions: ['clipboard-read', 'clipboard-write'],
    });
    await page.locator('#createCaption figure button').first().click();
    await page.locator('#createCaption figure button', { hasText: 'Copied' }).waitFor();
    const copied = (await page.evaluate('navigator.clipboard.readText()')) as string;
    expect(copied).toMatch(/^curl -s http:\/\/127\.0\.0\.1:\d+\/v1\/captions \\\n/);
    expect(copied).toBe(await page.locator('#createCaption pre.curl').first().textContent());
  });

  it('needs no JavaScript', async () => {
    const { page } = await openReference({ ...DESKTOP, javaScriptEnabled: false });
    expect(await shown(page).count()).toBeGreaterThan(20);
    expect(await page.locator('#search').isVisible()).toBe(false);
    await page.getByRole('link', { name: 'POST /v1/match' }).click();
    expect((await page.locator('#matchTexts').boundingBox())!.y).toBeLessThan(800);
  });
});
