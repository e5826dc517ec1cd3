/** The reference page says all that the OpenAPI document says, loads nothing from elsewhere, and has commands that can be pasted. */
import { PROBLEMS } from '@blip2/shared/errors';
import { imageIdOf } from '@blip2/shared/image-id';
import { describe, expect, it } from 'vitest';
import { startEdge } from '../../testing/edge.ts';
import { generative } from '../../testing/models.ts';
import { ROUTES } from '../routes.ts';

const edge = startEdge();
const response = await edge.request('/docs');
const page = await response.clone().text();

/** The text of commands, without what HTML needs. */
function commandsOf(html: string): string[] {
  const found = html.matchAll(/<pre class="(?:curl|first)" tabindex="0"><code>([^<]*)</g);
  const texts = { amp: '&', lt: '<', gt: '>', quot: '"', '#39': "'" };
  return [...found].map(([, text = '']) =>
    text.replaceAll(/&(amp|lt|gt|quot|#39);/g, (_, name: keyof typeof texts) => texts[name]),
  );
}

describe('the reference', () => {
  it('shows every route under its name, with commands for it', () => {
    for (const { operationId, method, path, summary } of ROUTES) {
      expect(page).toContain(`<article id="${operationId}"`);
      expect(page).toContain(`href="#${operationId}"`);
      expect(page).toContain(`data-entry="${method.toLowerCase()} ${path} ${summary}"`);
      const [, article = ''] = page.split(`<article id="${operationId}"`);
      expect(commandsOf(article.split('</article>')[0] ?? ''), path).not.toEqual([]);
    }
  });

  it('shows every problem under its name, and leads to its page', () => {
    for (const [slug, { title }] of Object.entries(PROBLEMS)) {
      expect(page).toContain(`id="problem-${slug}"`);
      expect(page).toContain(`href="/problems/${slug}"`);
      expect(page).toContain(title);
    }
  });

  it('has no link within itself that leads nowhere, and no name twice', () => {
    const ids = [...page.matchAll(/ id="([^"]+)"/g)].map(([, id]) => id);
    expect(ids).toHaveLength(new Set(ids).size);
    const targets = [...page.matchAll(/href="#([^"]+)"/g)].map(([, id]) => id);
    expect(targets.filter((id) => !ids.includes(id))).toEqual([]);
  });

  it('loads nothing from another host, and may not', () => {
    expect(page).not.toMatch(/(?:src|href)="(?:https?:)?\/\//);
    const policy = response.headers.get('content-security-policy') ?? '';
    expect(policy).toContain("default-src 'none'");
    expect(policy).toMatch(/script-src 'sha256-[^ ]+';/);
    expect(policy).not.toContain('unsafe');
    expect(page).not.toContain(' style="');
  });

  it('is small', async () => {
    const packed = new Response(response.clone().body?.pipeThrough(new CompressionStream('gzip')));
    expect((await packed.arrayBuffer()).byteLength).toBeLessThan(100_000);
  });

  it('may be cached, and is not sent again while it is the same', async () => {
    const etag = response.headers.get('etag') ?? '';
    const again = await edge.request('/docs', { headers: { 'if-none-match': etag } });
    expect(again.status).toBe(304);
    const other = startEdge({ env: { MAX_IMAGE_BYTES: '5' } });
    const changed = await other.request('/docs');
    expect(changed.headers.get('etag')).not.toBe(etag);
    await changed.body?.cancel();
  });
});

describe('its commands', () => {
  it('call the address under which the page was asked for', () => {
    const commands = commandsOf(page);
    expect(commands.filter((command) => !command.includes('http://edge.test/'))).toEqual([]);
    expect(page).not.toContain('{{origin}}');
  });

  it.each(["a'b", 'a$(id)', 'a;id', 'a&b'])(
    'take no address that is a command: %s',
    async (host) => {
      const text = await (await edge.request('/docs', {}, `http://${host}.test`)).text();
      expect(text).not.toContain(host);
      expect(text).toContain('https://blip2.example/v1/captions');
    },
  );

  it('take no address that is longer than one is, of which the page has a hundred copies', async () => {
    const long = await edge.request('/docs', {}, `http://${'a'.repeat(120_000)}.test`);
    const text = await long.text();
    expect(text.length).toBeLessThan(2 * page.length);
    expect(text).toContain('https://blip2.example/v1/captions');
    expect(long.headers.get('etag')).toHaveLength(
      '""'.length + 32 + '-https://blip2.example'.length,
    );
  });

  it('are compressed for one address in ten seconds', async () => {
    let now = Date.now();
    const { request } = startEdge({ platform: { now: () => now } });
    const codingAt = async (origin: string) => {
      const init = { headers: { 'accept-encoding': 'gzip' } };
      const { headers, body } = await request('/docs', init, origin);
      await body?.cancel();
      return headers.get('content-encoding');
    };
    expect(await codingAt('http://a.test')).toBe('gzip');
    expect(await codingAt('http://b.test')).toBeNull();
    now += 10_000;
    expect(await codingAt('http://b.test')).toBe('gzip');
    expect(await codingAt('http://b.test')).toBe('gzip');
  });

  it('have a key where one is needed, but where none is', async () => {
    expect(page).not.toContain('BLIP2_API_KEY');
    const closed = startEdge({ env: { ALLOW_ANONYMOUS: '' } });
    const commands = commandsOf(await (await closed.request('/docs')).text());
    const withKey = commands.filter((command) =>
      command.includes('"Authorization: Bearer $BLIP2_API_KEY"'),
    );
    const without = commands.filter((command) => !withKey.includes(command));
    expect(withKey.length).toBeGreaterThan(20);
    for (const command of without)
      expect(command).toMatch(/healthz|problems|openapi|docs|\/stream\/|\/download|\/$/);
  });

  it('ask for the model that is served', async () => {
    const models = { generate: { ...generative, name: 'of-mine' } };
    const served = startEdge({ models });
    const commands = commandsOf(await (await served.request('/docs')).text()).join();
    expect(commands).toContain('"of-mine"');
    expect(commands).not.toContain('blip2-scenes');
  });
});

it('the image of the examples is the one that they name by its hash', async () => {
  const image = await edge.request('/docs/example.webp');
  expect(image.headers.get('content-type')).toBe('image/webp');
  const id = await imageIdOf(new Uint8Array(await image.clone().arrayBuffer()));
  expect(page).toContain(id);
  const etag = image.headers.get('etag') ?? '';
  const again = await edge.request('/docs/example.webp', { headers: { 'if-none-match': etag } });
  expect(again.status).toBe(304);
});
