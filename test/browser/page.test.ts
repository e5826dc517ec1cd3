/** The first page in a real browser: choose an image, read the caption, ask a question. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';
import { beforeAll, expect, it } from 'vitest';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { testImages, withNewBytes } from '../support/test-images.ts';
import { ask, chooseSample, describePage, text, turnIs, type, WAIT } from './page-tests.ts';

/** Samples with what the model says of them: the caption, then the answers to the questions offered, in their order. */
const SAMPLES = [
  [
    'elephant and bee',
    'an elephant above a bee on a blue background',
    ['a bee', 'yes', 'blue', 'no'],
  ],
  ['anchors and dog', 'two anchors and a dog on a pink background', ['two', 'pink', 'yes', 'no']],
  [
    'lion and cow',
    'a lion to the left of a cow on a purple background',
    ['a cow', 'yes', 'one', 'purple'],
  ],
  ['pears', 'six pears on a yellow background', ['six', 'six pears', 'no', 'yellow']],
  ['dolphin', 'a dolphin on an orange background', ['a dolphin', 'yes', 'no', 'orange']],
  [
    'rainbows and horse',
    'two rainbows and a horse on a white background',
    ['two', 'one', 'yes', 'white'],
  ],
] as const;

describePage('the page', (service) => {
  const foreign = fileURLToPath(new URL('../foreign/document/document-00.webp', import.meta.url));
  const file = join(temporaryFolder(), 'scene.webp');
  let bytes: Uint8Array;

  beforeAll(async () => {
    const all = await testImages(4);
    ({ bytes } = all[2]!);
    await writeFile(file, bytes);
  });

  it('captions a chosen image, answers a question and reports the hit', async () => {
    const { page, errors } = await service.open();
    await page.locator('input[type=file]').setInputFiles(file);
    await text(page, 'cache').toMatch(/miss|hit/);
    await text(page, 'caption').toMatch(/\w+ \w+/);
    await type(page, 'what color is the background?');
    await text(page, 'answer').toMatch(/\w+/);
    await text(page, 'cache').toMatch(/hit/);
    expect(errors).toEqual([]);
  });

  it.each(SAMPLES)(
    'has the sample %s and questions that are answered right, each by a click',
    async (name, caption, answers) => {
      const { page, errors } = await service.open();
      await chooseSample(page, name);
      await text(page, 'caption').toBe(caption);
      const chips = page.locator('#chips button');
      expect(await chips.count()).toBe(answers.length);
      for (const [i, answer] of answers.entries()) {
        await chips.nth(i).click();
        await expect
          .poll(() => page.locator('[data-testid=answer]').nth(i).textContent(), { timeout: WAIT })
          .toBe(answer);
      }
      await turnIs(page, 'done');
      expect(errors).toEqual([]);
    },
  );

  it('names the model and what it knows, and warns of what it guesses about', async () => {
    const { page } = await service.open();
    expect(await page.locator('[data-testid=model]').textContent()).toMatch(
      /blip2-scenes knows emoji scenes only\. .*142 things/,
    );
    const caution = page.getByText('about photos it guesses');
    expect(await caution.isVisible()).toBe(false);
    await chooseSample(page, 'pears');
    expect(await caution.isVisible()).toBe(false);
    await page.locator('input[type=file]').setInputFiles(file);
    await turnIs(page, 'done');
    expect(await caution.isVisible()).toBe(true);
    await chooseSample(page, 'pears');
    expect(await caution.isVisible()).toBe(false);
  });

  it('says of an image that is no scene that its text is a guess, and what helps', async () => {
    const { page } = await service.open();
    await page.locator('input[type=file]').setInputFiles(foreign);
    await turnIs(page, 'done');
    const note = page.locator('[data-testid=warning]');
    expect(await note.textContent()).toMatch(
      /unlike all that blip2-scenes was trained on.*BLIP2_CHECKPOINT=Salesforce/,
    );
    expect(await page.locator('[data-testid=caption] .said').textContent()).not.toBe('');
    // Once is enough.
    await expect.poll(() => page.locator('#caution').isVisible(), { timeout: WAIT }).toBe(false);
    await chooseSample(page, 'pears');
    expect(await note.count()).toBe(0);
  });

  it('describes the image by its caption, and says what it is', async () => {
    const { page } = await service.open();
    await chooseSample(page, 'dolphin');
    const preview = page.locator('#preview');
    expect(await preview.getAttribute('alt')).toBe('a dolphin on an orange background');
    expect(await page.locator('#facts').textContent()).toMatch(
      /WEBP · 384 × 384 · sha256 [0-9a-f]{12}…/,
    );
    await page.getByRole('button', { name: 'Sample: pears' }).click();
    await expect
      .poll(() => preview.getAttribute('alt'), { timeout: WAIT })
      .toBe('six pears on a yellow background');
  });

  it('labels the time of the upload apart from that of the first token', async () => {
    const { page } = await service.open();
    const buffer = Buffer.from(await withNewBytes(bytes, 'upload'));
    await page
      .locator('input[type=file]')
      .setInputFiles({ name: 'a.png', mimeType: 'image/png', buffer });
    await turnIs(page, 'done');
    const facts = page.locator('.turn .facts');
    expect(await facts.first().innerText()).toMatch(
      /miss\s*upload \d+ ms\s*first token after [\d.]+ m?s\s*\d+ tokens in [\d.]+ m?s/,
    );
    await ask(page, 'what color is the background?');
    expect(await facts.last().innerText()).toMatch(/^hit · colo\s*first token after/);
  });

  it('says of a reply that it was written before', async () => {
    const buffer = Buffer.from(await withNewBytes(bytes, 'twice'));
    const factsOf = async () => {
      const { page } = await service.open();
      await page
        .locator('input[type=file]')
        .setInputFiles({ name: 'a.png', mimeType: 'image/png', buffer });
      await turnIs(page, 'done');
      return await page.locator('.turn .facts').first().innerText();
    };
    expect(await factsOf()).toMatch(/^miss/);
    expect(await factsOf()).toMatch(
      /^hit · reply\s*upload \d+ ms\s*\d+ tokens, written before, in [\d.]+ m?s/,
    );
  });

  it('shows how much of a large file is sent, and leaves the upload out of the first token', async () => {
    const { page, errors } = await service.open();
    const release = service.gate.holdUploads();
    const noise = {
      width: 1500,
      height: 1500,
      channels: 3,
      noise: { type: 'gaussian', mean: 128, sigma: 60 },
    } as const;
    const buffer = await sharp({ create: { ...noise, background: 'black' } })
      .png({ compressionLevel: 0 })
      .toBuffer();
    await page
      .locator('input[type=file]')
      .setInputFiles({ name: 'noise.png', mimeType: 'image/png', buffer });
    await turnIs(page, 'uploading');
    const progress = page.locator('.turn progress');
    const part = () => progress.evaluate((bar: { position: number }) => bar.position);
    await expect.poll(part, { timeout: WAIT }).toBeGreaterThan(0);
    expect(await part()).toBeLessThan(1);
    expect(await page.locator('.turn .status').textContent()).toMatch(
      /^Uploading \d\.\d of 6\.\d MB$/,
    );
    release();
    await turnIs(page, 'done');
    expect(await progress.isVisible()).toBe(false);
    expect(errors).toEqual([]);
  });
});
