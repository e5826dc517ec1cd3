/** Whether everybody can use the page: checked by axe in every state, and by what axe does not know. */
import axe from 'axe-core';
import type { BrowserContextOptions, Page } from 'playwright-core';
import { expect, it } from 'vitest';
import {
  ask,
  chooseSample,
  describePage,
  type OpenPage,
  text,
  turnIs,
  type,
  WAIT,
} from './page-tests.ts';

const DESKTOP = { viewport: { width: 1280, height: 800 } };
const PHONE = { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true };
const PHONE_ON_ITS_SIDE = { viewport: { width: 844, height: 390 }, isMobile: true, hasTouch: true };
/** 1280 x 800 at 200 %. */
const ZOOMED = { viewport: { width: 640, height: 400 }, deviceScaleFactor: 2 };
/** 1280 x 1024 at 400 %. */
const ENLARGED = { viewport: { width: 320, height: 256 }, deviceScaleFactor: 4 };

const SCREENS: [string, BrowserContextOptions][] = [
  ['1280 px', DESKTOP],
  ['a phone', PHONE],
  ['a phone on its side', PHONE_ON_ITS_SIDE],
  ['a zoom of 200 %', ZOOMED],
];

/** What axe finds: the rule, and the elements. */
async function violations(page: Page): Promise<string[]> {
  const { violations: found } = (await page.evaluate('axe.run()')) as axe.AxeResults;
  return found.flatMap(({ id, nodes }) =>
    nodes.map(({ html, any }) => `${id}: ${html} ${any.map(({ message }) => message)}`),
  );
}

/** Luminance contrast as WCAG 2 defines it, of colors as browsers compute them: 'rgb(1, 2, 3)'. */
function contrast(...colors: [string, string]): number {
  const [a = 0, b = 0] = colors
    .map((color) => {
      const [r = 0, g = 0, blue = 0] = (color.match(/[\d.]+/g) ?? []).map((part) => {
        const value = Number(part) / 255;
        return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
      });
      return 0.2126 * r + 0.7152 * g + 0.0722 * blue;
    })
    .sort((x, y) => y - x);
  return (a + 0.05) / (b + 0.05);
}

describePage('for everybody, the page', (service) => {
  /** A tab in which axe is loaded: by the debugger, which the page's policy does not stop. */
  async function openWithAxe(options: BrowserContextOptions): Promise<OpenPage> {
    const opened = await service.open(options);
    await opened.page.evaluate(axe.source);
    return opened;
  }

  const cases = SCREENS.flatMap(([name, options]) =>
    (['light', 'dark'] as const).map(
      (colorScheme) => [name, colorScheme, { ...options, colorScheme }] as const,
    ),
  );

  it.each(cases)(
    'has no violation that axe knows, in any state, on %s, %s',
    async (_name, _scheme, options) => {
      const { page, errors } = await openWithAxe(options);
      const found: Record<string, string[]> = {};
      const check = async (state: string) => {
        found[state] = await violations(page);
      };
      await check('idle');

      let release = service.gate.holdReplies('image');
      await page.getByRole('button', { name: 'Sample: anchors and dog' }).click();
      await turnIs(page, 'encoding');
      await check('encoding');
      release();
      await turnIs(page, 'done');
      await check('captioned');

      release = service.gate.holdReplies('token');
      await type(page, 'what is in the picture?');
      await turnIs(page, 'streaming');
      await check('streaming');
      await page.getByRole('button', { name: 'Stop' }).click();
      release();
      await turnIs(page, 'stopped');
      await check('stopped');

      release = service.gate.holdReplies('token');
      await page.getByRole('button', { name: 'is there an animal?' }).click();
      await turnIs(page, 'streaming');
      release('is cut off');
      await turnIs(page, 'failed');
      await check('failed');

      for (const x of ['dog', 'cat', 'car', 'anchor', 'bee', 'cow'])
        await ask(page, `is there a ${x}?`);
      await page.getByText('From the web').click();
      await check('long');

      const free = service.gate.holdUploads();
      const large = { name: 'a.png', mimeType: 'image/png', buffer: Buffer.alloc(8e6, 1) };
      await page.locator('input[type=file]').setInputFiles(large);
      await turnIs(page, 'uploading');
      await check('uploading');
      free();
      await turnIs(page, 'failed');
      await check('refused');
      expect(found).toEqual(Object.fromEntries(Object.keys(found).map((state) => [state, []])));
      expect(errors.filter((error) => !/status of 400|ERR_INCOMPLETE/.test(error))).toEqual([]);
    },
  );

  it.each([...SCREENS, ['a zoom of 400 %', ENLARGED] as const])(
    'shows the box for questions and its button without scrolling on %s',
    async (_name, options) => {
      const { page } = await service.open(options);
      const { width, height } = options.viewport!;
      const isInSight = async () => {
        for (const id of ['#question', '#send']) {
          const box = (await page.locator(id).boundingBox())!;
          expect(box.x).toBeGreaterThanOrEqual(0);
          expect(box.y).toBeGreaterThanOrEqual(0);
          expect(box.x + box.width).toBeLessThanOrEqual(width);
          expect(box.y + box.height).toBeLessThanOrEqual(height);
        }
      };
      await isInSight();
      await chooseSample(page, 'lion and cow');
      await isInSight();
      for (const x of ['dog', 'cat', 'car', 'cow']) await ask(page, `is there a ${x}?`);
      await isInSight();
      // What was answered last is not behind the box.
      const answer = (await page.locator('[data-testid=answer]').last().boundingBox())!;
      const box = (await page.locator('#ask').boundingBox())!;
      expect(answer.y + answer.height).toBeLessThanOrEqual(box.y);
      expect(answer.y).toBeGreaterThanOrEqual(0);
      // Nothing is wider than the screen.
      expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(width);
    },
  );

  it.each(['light', 'dark'] as const)(
    'has placeholders and borders that can be seen in %s colors',
    async (colorScheme) => {
      const { page } = await service.open({ colorScheme });
      await page.getByText('From the web').click();
      for (const id of ['#question', '#address']) {
        const { placeholder, border, inside, around } = (await page.evaluate(`(() => {
        const field = document.querySelector('${id}');
        let around = field.parentElement;
        while (getComputedStyle(around).backgroundColor === 'rgba(0, 0, 0, 0)') around = around.parentElement;
        return {
          placeholder: getComputedStyle(field, '::placeholder').color,
          border: getComputedStyle(field).borderTopColor,
          inside: getComputedStyle(field).backgroundColor,
          around: getComputedStyle(around).backgroundColor,
        };
      })()`)) as Record<'placeholder' | 'border' | 'inside' | 'around', string>;
        expect(contrast(placeholder, inside)).toBeGreaterThanOrEqual(4.5);
        expect(contrast(border, inside)).toBeGreaterThanOrEqual(3);
        expect(contrast(border, around)).toBeGreaterThanOrEqual(3);
      }
    },
  );

  it('lets a screen reader say the text of a reply, once, and nothing beside it', async () => {
    const { page } = await service.open();
    await page.evaluate(`{
      globalThis.heard = [];
      const watch = new MutationObserver((changes) => {
        for (const { target } of changes) {
          const region = target.parentElement?.closest('[role=status], [role=log], [role=alert], [aria-live]') ?? target;
          if (region.textContent !== '') heard.push(region.textContent);
        }
      });
      for (const region of document.querySelectorAll('[role=status], [role=log], [role=alert], [aria-live]')) {
        watch.observe(region, { childList: true, characterData: true, subtree: true });
      }
    }`);
    await chooseSample(page, 'dolphin');
    await ask(page, 'is there an animal?');
    await ask(page, 'is there an animal?');
    await expect
      .poll(() => page.evaluate('heard'), { timeout: WAIT })
      .toEqual(['a dolphin on an orange background', 'yes', 'yes']);
  });

  it.each(SCREENS)(
    'can be used by keyboard alone, with the focus in sight, on %s',
    async (_name, options) => {
      const { page } = await service.open(options);
      await chooseSample(page, 'anchors and dog');
      expect(await page.evaluate("document.activeElement.closest('#strip') !== null")).toBe(true);
      await page.locator('.skip').focus();
      await page.keyboard.press('Shift+Tab');
      const visited: string[] = [];
      for (;;) {
        await page.keyboard.press('Tab');
        const { name, outline } = (await page.evaluate(`(() => {
        const element = document.activeElement;
        const shown = element.id === 'file' ? element.nextElementSibling : element;
        return {
          name: element === document.body ? '' : element.id || element.querySelector('img')?.alt || element.textContent.trim(),
          outline: getComputedStyle(shown).outlineStyle,
        };
      })()`)) as { name: string; outline: string };
        if (name === '' || visited.includes(name) || visited.length > 40) break;
        expect([name, outline]).not.toEqual([name, 'none']);
        visited.push(name);
      }
      const order = [
        'Skip to your question',
        'file',
        'From the web',
        'Sample: elephant and bee',
        'talk',
        'how many anchors are there?',
        'question',
        'send',
      ];
      expect(visited.filter((name) => order.includes(name))).toEqual(order);
    },
  );

  it.each([
    ['1280 px', DESKTOP],
    ['a zoom of 200 %', ZOOMED],
    ['a phone', PHONE],
  ] as const)('lets the conversation be scrolled by keyboard on %s', async (_name, options) => {
    const { page } = await service.open(options);
    await chooseSample(page, 'anchors and dog');
    for (const x of ['dog', 'cat', 'car', 'cow', 'bee', 'bed', 'bear', 'fox'])
      await ask(page, `is there a ${x}?`);
    const captionTop = async () => (await page.locator('[data-testid=caption]').boundingBox())!.y;
    const before = await captionTop();
    await page.locator('#talk').focus();
    await page.keyboard.press('PageUp');
    await expect.poll(captionTop, { timeout: WAIT }).toBeGreaterThan(before);
  });

  it('keeps the focus when the button that had it goes away', async () => {
    const { page } = await service.open();
    await chooseSample(page, 'pears');
    await ask(page, 'is there a lemon?');
    await page.getByRole('button', { name: 'New conversation' }).focus();
    await page.keyboard.press('Enter');
    expect(await page.evaluate('document.activeElement.id')).toBe('question');
  });

  it('moves nothing where people want less motion, and keeps its borders in forced colors', async () => {
    const { page } = await openWithAxe({
      ...DESKTOP,
      reducedMotion: 'reduce',
      forcedColors: 'active',
    });
    const release = service.gate.holdReplies('token');
    await page.getByRole('button', { name: 'Sample: pears' }).click();
    await turnIs(page, 'streaming');
    expect(await page.evaluate('document.getAnimations().length')).toBe(0);
    expect(await violations(page)).toEqual([]);
    release();
    await text(page, 'caption').toBe('six pears on a yellow background');
  });
});
