/** The page of a service that needs a key. */
import { createKey, keyName } from '@blip2/shared/api-key';
import { expect, it } from 'vitest';
import { describePage, WAIT } from './page-tests.ts';

describePage(
  'the page of a service with keys',
  (service) => {
    it('says that a key is needed, and works with one until the tab is closed', async () => {
      const { page } = await service.open();
      const field = page.getByLabel('Your key');
      await field.waitFor({ state: 'visible' });
      const sample = page.locator('#strip button').first();
      await sample.click();
      await page.getByText('This service needs a key').first().waitFor({ timeout: WAIT });

      await field.fill('no key → at all');
      await page.locator('.retry:visible').last().click();
      await page.getByText('does not take this key').first().waitFor({ timeout: WAIT });

      const key = createKey();
      const record = { name: 'page', scopes: ['text'], created_at: Date.now() };
      const kv = await service.stack.kv('KEYS');
      await kv.put(await keyName(key), JSON.stringify(record));
      await field.fill(key);
      await page.locator('.retry:visible').last().click();
      await page.locator('#facts:not(:empty)').waitFor({ timeout: WAIT });

      await page.reload();
      expect(await field.inputValue()).toBe(key);
      expect(page.url()).not.toContain('sk-');
    });
  },
  { ALLOW_ANONYMOUS: '' },
);
