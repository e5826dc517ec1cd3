/** The ways in which people bring images to the page, in a real browser. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type TestImage, testImages, withNewBytes } from '../support/test-images.ts';
import { describePage, text, turnIs, type, WAIT } from './page-tests.ts';

/** What is dropped or pasted: texts by their type, and files. */
type Carried = {
  texts?: Record<string, string>;
  files?: { name: string; type: string; base64: string }[];
};

/** Fires a drop or paste as a browser does, on an element. */
async function bring(
  page: Page,
  kind: 'drop' | 'paste',
  carried: Carried,
  selector = 'body',
): Promise<void> {
  const values = [selector, { kind, ...carried }].map((value) => JSON.stringify(value));
  await page.evaluate(`(${DISPATCH})(${values})`);
}

/** Runs in the browser. */
const DISPATCH = `(selector, { kind, texts = {}, files = [] }) => {
  const data = new DataTransfer();
  for (const [type, value] of Object.entries(texts)) data.setData(type, value);
  for (const { name, type, base64 } of files) {
    const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
    data.items.add(new File([bytes], name, { type }));
  }
  const options = { bubbles: true, cancelable: true };
  document.querySelector(selector).dispatchEvent(
    kind === 'drop'
      ? new DragEvent('drop', { ...options, dataTransfer: data })
      : new ClipboardEvent('paste', { ...options, clipboardData: data }),
  );
}`;

describePage('an image', (service) => {
  let scenes: TestImage[];
  let host: Server;
  let address: string;
  const carry = (index: number, name = `${index}.webp`, type = 'image/webp') => ({
    name,
    type,
    base64: Buffer.from(scenes[index]!.bytes).toString('base64'),
  });
  const lastReference = () => service.gate.seen.at(-1)?.body?.image;

  beforeAll(async () => {
    scenes = await testImages(4);
    host = createServer((request, response) => {
      if (request.url === '/gone.webp') response.writeHead(404).end();
      else response.writeHead(200, { 'content-type': 'image/webp' }).end(scenes[1]!.bytes);
    });
    await new Promise<void>((resolve) => host.listen(0, '127.0.0.1', resolve));
    address = `http://127.0.0.1:${(host.address() as AddressInfo).port}`;
  });
  afterAll(() => host?.close());

  it.each<[string, 'drop' | 'paste', (url: string) => Record<string, string>, string]>([
    ['dropped as a link', 'drop', (url) => ({ 'text/uri-list': `# x\r\n${url}\r\n` }), 'body'],
    ['dropped as a text', 'drop', (url) => ({ 'text/plain': ` ${url} ` }), 'body'],
    [
      'dropped as an image inside of a link',
      'drop',
      (url) => ({
        'text/uri-list': 'https://x.example/',
        'text/html': `<a href="x"><img src="${url}"></a>`,
      }),
      'body',
    ],
    ['pasted', 'paste', (url) => ({ 'text/plain': url }), 'body'],
    [
      'pasted into the empty box for questions',
      'paste',
      (url) => ({ 'text/plain': url }),
      '#question',
    ],
  ])(
    'whose address is %s is fetched by the service, and shown',
    async (_name, kind, texts, selector) => {
      const { page, errors } = await service.open();
      const url = `${address}/a.webp`;
      await bring(page, kind, { texts: texts(url) }, selector);
      await turnIs(page, 'done');
      await text(page, 'caption').toBe(scenes[1]!.scene.caption);
      expect(lastReference()).toEqual({ url });
      expect(
        await page
          .locator('#preview')
          .evaluate((image: { naturalWidth: number }) => image.naturalWidth),
      ).toBeGreaterThan(0);
      expect(errors).toEqual([]);
    },
  );

  it('is fetched from an address that is typed, with or without https://', async () => {
    const { page } = await service.open();
    await page.getByText('From the web').click();
    const field = page.getByLabel('Address of an image');
    await field.fill('no address');
    await page.keyboard.press('Enter');
    expect(await page.locator('#hint').textContent()).toMatch(/begins with https:/);
    await field.fill(`${address}/b.webp`);
    await page.getByRole('button', { name: 'Fetch' }).click();
    await turnIs(page, 'done');
    await text(page, 'caption').toBe(scenes[1]!.scene.caption);
    await field.fill('image.invalid/c.webp');
    await page.keyboard.press('Enter');
    await turnIs(page, 'failed');
    expect(lastReference()).toEqual({ url: 'https://image.invalid/c.webp' });
  });

  it('that is not at its address can be tried again', async () => {
    const { page } = await service.open();
    await bring(page, 'paste', { texts: { 'text/plain': `${address}/gone.webp` } });
    await turnIs(page, 'failed');
    await text(page, 'caption').toMatch(/^No image could be fetched from this address/);
    expect(await page.getByRole('button', { name: 'Try again' }).isVisible()).toBe(true);
    await expect
      .poll(() => page.getByText('Your browser cannot show this image').isVisible())
      .toBe(true);
  });

  it('is taken from the clipboard', async () => {
    const { page } = await service.open();
    await bring(page, 'paste', { files: [carry(1, 'image.png', 'image/png')] }, '#question');
    await turnIs(page, 'done');
    await text(page, 'caption').toBe(scenes[1]!.scene.caption);
  });

  it('is taken from a data: URL', async () => {
    const { page } = await service.open();
    await bring(page, 'drop', {
      texts: { 'text/uri-list': `data:image/webp;base64,${carry(2).base64}` },
    });
    await turnIs(page, 'done');
    await text(page, 'caption').toBe(scenes[2]!.scene.caption);
  });

  it('is taken without an extension or a type', async () => {
    const { page } = await service.open();
    await bring(page, 'drop', { files: [carry(2, 'scan', '')] });
    await turnIs(page, 'done');
    await text(page, 'caption').toBe(scenes[2]!.scene.caption);
  });

  it('is the first of several, and the others are a click away', async () => {
    const { page } = await service.open();
    const notes = { name: 'notes.txt', type: 'text/plain', base64: 'AAAA' };
    await bring(page, 'drop', { files: [notes, carry(0), carry(1), carry(2)] });
    await turnIs(page, 'done');
    await text(page, 'caption').toBe(scenes[0]!.scene.caption);
    expect(await page.locator('#hint').textContent()).toMatch(
      /the first of 3, the others are below\. Left out: 1 file\.$/,
    );
    await page.getByRole('button', { name: '2.webp' }).click();
    await text(page, 'caption').toBe(scenes[2]!.scene.caption);
    expect(await page.locator('#strip [aria-pressed=true] img').getAttribute('alt')).toBe('2.webp');
  });

  it('is chosen by a file dialog that takes several', async () => {
    const { page } = await service.open();
    const files = await Promise.all(
      [0, 1].map(async (i) => ({
        name: `${i}.png`,
        mimeType: 'image/png',
        buffer: Buffer.from(await withNewBytes(scenes[i]!.bytes, 'dialog')),
      })),
    );
    await page.locator('input[type=file]').setInputFiles(files);
    await turnIs(page, 'done');
    await text(page, 'caption').toBe(scenes[0]!.scene.caption);
    expect(await page.locator('#strip button').count()).toBe(8);
  });

  it.each<[string, Carried, RegExp]>([
    ['a text', { texts: { 'text/plain': 'a cat' } }, /^Drop an image, or the address of one\.$/],
    ['nothing', {}, /^Drop an image, or the address of one\.$/],
  ])('is asked for where %s is dropped', async (_name, carried, words) => {
    const { page } = await service.open();
    await bring(page, 'drop', carried);
    expect(await page.locator('#hint').textContent()).toMatch(words);
    expect(await page.locator('.turn').count()).toBe(0);
  });

  it('may be taken by a camera, on a device that has one', async () => {
    const phone = await service.open({ hasTouch: true, isMobile: true });
    const button = phone.page.getByRole('button', { name: 'Take a photo' });
    const chooser = phone.page.waitForEvent('filechooser');
    await button.click();
    await chooser;
    expect(await phone.page.locator('input[type=file]').getAttribute('capture')).toBe(
      'environment',
    );
    const desk = await service.open();
    expect(await desk.page.getByRole('button', { name: 'Take a photo' }).isVisible()).toBe(false);
  });

  it.each<[string, Carried['files'], RegExp]>([
    [
      'notes',
      [{ name: 'notes.png', type: 'image/png', base64: 'bm90ZXM=' }],
      /^This is a text, not an image\. JPEG/,
    ],
    [
      'a file of JSON',
      [{ name: 'a.json', type: 'application/json', base64: 'eyJhIjogMX0=' }],
      /^This is [^.]+, not an image\. JPEG/,
    ],
    ['an empty file', [{ name: 'a.png', type: 'image/png', base64: '' }], /^This file is empty\.$/],
  ])(
    'that is %s is refused in words, and the focus stays where it was',
    async (_name, files, words) => {
      const { page } = await service.open();
      await page.locator('[data-testid=question]').focus();
      await bring(page, 'paste', { files: files ?? [] }, '#question');
      await turnIs(page, 'failed');
      await text(page, 'caption').toMatch(words);
      expect(await page.evaluate('document.activeElement.id')).toBe('question');
      expect(await page.getByRole('button', { name: 'Try again' }).isVisible()).toBe(false);
      // There is nothing to guess about it, and nothing to ask.
      expect(await page.locator('#caution').isVisible()).toBe(false);
      expect(await page.locator('#chips').isVisible()).toBe(false);
      const entry = page.locator('#strip button[aria-pressed=true]');
      await expect.poll(() => entry.locator('img').count(), { timeout: WAIT }).toBe(0);
      expect(await entry.textContent()).not.toBe('');
      // A question about it is answered with the same words, and nothing is sent.
      const sent = service.gate.seen.length;
      await type(page, 'is there a dog?');
      await turnIs(page, 'failed');
      await text(page, 'answer').toMatch(words);
      expect(service.gate.seen.length).toBe(sent);
      const chooser = page.waitForEvent('filechooser', { timeout: WAIT });
      await page.getByRole('button', { name: 'Choose another image' }).last().click();
      await chooser;
    },
  );

  it('that is larger than the service takes is refused before it is sent', async () => {
    const { page } = await service.open();
    const sent = service.gate.seen.length;
    const buffer = Buffer.alloc(21 * 2 ** 20);
    await page
      .locator('input[type=file]')
      .setInputFiles({ name: 'a.png', mimeType: 'image/png', buffer });
    await turnIs(page, 'failed');
    await text(page, 'caption').toMatch(/^This file is too large/);
    expect(service.gate.seen.length).toBe(sent);
  });
});
