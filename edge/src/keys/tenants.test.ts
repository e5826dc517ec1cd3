/** Tenants: what one gets, to the last member of a reply, depends on nothing that another has done. */
import { imageIdOf } from '@blip2/shared/image-id';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { base64, newImage, startEdge, type TestEdge, testEnv } from '../testing/edge.ts';
import { storeKey } from '../testing/keys.ts';
import { generative, instructedModels } from '../testing/models.ts';

const models = instructedModels(30);
const CLOSED = { ALLOW_ANONYMOUS: '', CACHE_SECRET: 'secret-of-this-deployment' };

/** Whose cache it is: two tenants', and that of all keys without a namespace. */
const TENANTS = ['acme', 'globex', undefined] as const;
const ACTIONS = ['send', 'ask', 'embed', 'read', 'delete'] as const;
type Step = {
  tenant: number;
  /** Two keys of a tenant are one. */
  key: number;
  /** Two isolates of a location. */
  isolate: number;
  image: number;
  instruction: string;
  action: (typeof ACTIONS)[number];
};

const steps = fc.array(
  fc.record<Step>({
    tenant: fc.nat(TENANTS.length - 1),
    key: fc.nat(1),
    isolate: fc.nat(1),
    image: fc.nat(1),
    instruction: fc.constantFrom('a dog', 'a cat'),
    action: fc.constantFrom(...ACTIONS),
  }),
  { minLength: 2, maxLength: 24 },
);

type Keys = Record<string, string>[][];
const keysOf = (): Promise<Keys> =>
  Promise.all(
    TENANTS.map((namespace) => {
      const change = namespace === undefined ? {} : { namespace };
      return Promise.all([storeKey(change), storeKey(change)]);
    }),
  );

/** A location where none of the images were ever sent. */
async function world(keys: Keys) {
  const isolates = [0, 1].map(() => startEdge({ env: CLOSED, models }));
  const images = await Promise.all(
    [newImage(), newImage()].map(async (bytes) => ({ bytes, sha256: await imageIdOf(bytes) })),
  );
  return async ({ tenant, key, isolate, image, instruction, action }: Step) => {
    const edge = isolates[isolate] as TestEdge;
    const { bytes, sha256 } = images[image] as (typeof images)[number];
    const headers = keys[tenant]?.[key] ?? {};
    const before = edge.gpu.received.length;
    const sent = { data: base64(bytes) };
    const replyTo = () => {
      const query = new URLSearchParams({ instruction });
      switch (action) {
        case 'send':
          return edge.post('/v1/captions', { image: sent, prompt: instruction }, headers);
        case 'ask':
          return edge.post('/v1/captions', { image: { sha256 }, prompt: instruction }, headers);
        case 'embed':
          return edge.post('/v1/embeddings', { image: sent, instruction }, headers);
        case 'read':
          return edge.request(`/v1/embeddings/${sha256}?${query}`, { headers });
        case 'delete':
          return edge.request(`/v1/images/${sha256}`, { method: 'DELETE', headers });
      }
    };
    const response = await replyTo();
    await edge.settled();
    const text = await response.text();
    const body = text === '' ? {} : JSON.parse(text);
    const { id: _id, timings_ms: _timings, image: _image, ...rest } = body;
    return {
      status: response.status,
      body: rest,
      headers: [...response.headers.keys()].toSorted(),
      gpu: edge.gpu.received.slice(before).map(({ with: source, request }) => {
        return [source, request.kind, request.namespace !== undefined];
      }),
    };
  };
}

describe('what a tenant gets', () => {
  it('depends on its own requests alone, whatever others send, ask or delete', async () => {
    const keys = await keysOf();
    await fc.assert(
      fc.asyncProperty(steps, async (all) => {
        const together = await world(keys);
        const seen: unknown[] = [];
        for (const step of all) seen.push(await together(step));
        for (const tenant of new Set(all.map((step) => step.tenant))) {
          const alone = await world(keys);
          const own = all.flatMap((step, at) => (step.tenant === tenant ? [[step, at]] : []));
          for (const [step, at] of own as [Step, number][]) {
            expect(await alone(step)).toEqual(seen[at]);
          }
        }
      }),
      { numRuns: 25 },
    );
  }, 120_000);

  it('does not come from an encode that another has under way', async () => {
    const [acme, globex] = await keysOf();
    const edge = startEdge({ env: CLOSED });
    const gate = Promise.withResolvers<void>();
    edge.gpu.script.start = gate.promise;
    const bytes = newImage();
    const send = (keys: Keys[number] | undefined) =>
      edge.post('/v1/captions', { image: { data: base64(bytes) } }, keys?.[0]);
    const sent = [send(acme), send(globex)];
    await edge.gpu.untilReceived(2);
    const byHash = { image: { sha256: await imageIdOf(bytes) } };
    expect((await edge.post('/v1/captions', byHash)).status).toBe(401);
    gate.resolve();
    const replies = await Promise.all((await Promise.all(sent)).map((reply) => reply.json()));
    expect(replies.map((reply) => (reply as { cache: string }).cache)).toEqual(['miss', 'miss']);
    expect(new Set(edge.gpu.received.map(({ request }) => request.namespace)).size).toBe(2);
  });

  it('is shared by the keys of one tenant', async () => {
    const [acme] = await keysOf();
    const edge = startEdge({ env: CLOSED });
    const bytes = newImage();
    await edge.post('/v1/captions', { image: { data: base64(bytes) } }, acme?.[0]);
    const byHash = { image: { sha256: await imageIdOf(bytes) } };
    const fresh = { ...acme?.[1], 'cache-control': 'no-cache' };
    const reply = await edge.post('/v1/captions', byHash, fresh);
    expect(await reply.json()).toMatchObject({ cache: 'colo' });
    await edge.settled();
    const again = await edge.post('/v1/captions', byHash, acme?.[1]);
    expect(await again.json()).toMatchObject({ cache: 'reply' });
    const [first, second] = edge.gpu.received;
    expect(first?.request.namespace).toMatch(/^[0-9a-f]{32}$/);
    expect(second?.request).toMatchObject({
      namespace: first?.request.namespace,
      image_id: byHash.image.sha256,
    });
  });

  it('is private to caches between', async () => {
    const [acme] = await keysOf();
    const edge = startEdge({ env: CLOSED });
    const bytes = newImage();
    await edge.post('/v1/captions', { image: { data: base64(bytes) } }, acme?.[0]);
    const path = `/v1/embeddings/${await imageIdOf(bytes)}`;
    const reply = await edge.request(path, { headers: acme?.[0] ?? {} });
    expect(reply.headers.get('cache-control')).toBe('private, no-cache');
  });
});

describe('the name of a tenant', () => {
  it('stands in no key of a cache, and another secret gives other names', async () => {
    const [acme] = await keysOf();
    const names: (string | undefined)[] = [];
    for (const CACHE_SECRET of ['one', 'two', '']) {
      const edge = startEdge({ env: { ...CLOSED, CACHE_SECRET } });
      await edge.post('/v1/captions', { image: { data: base64(newImage()) } }, acme?.[0]);
      await edge.settled();
      names.push(edge.gpu.received[0]?.request.namespace);
    }
    expect(new Set(names).size).toBe(3);
    let cursor: string | undefined;
    do {
      const list = await testEnv.EMBEDDINGS.list(cursor === undefined ? {} : { cursor });
      for (const { name } of list.keys) expect(name).not.toMatch(/acme|globex/);
      cursor = list.list_complete ? undefined : list.cursor;
    } while (cursor !== undefined);
  });

  it.each(['', ' ', '-acme', 'a/b', 'x'.repeat(65), 'a\nb'])(
    'may not be %j: such a record is no key, rather than one of the shared namespace',
    async (namespace) => {
      const edge = startEdge({ env: CLOSED });
      const headers = await storeKey({ namespace });
      expect((await edge.post('/v1/captions', newImage(), headers)).status).toBe(401);
    },
  );
});

describe('deleting an image', () => {
  it('needs the scope images', async () => {
    const edge = startEdge({ env: CLOSED });
    const headers = await storeKey({ scopes: ['text', 'embeddings'], namespace: 'acme' });
    const path = `/v1/images/${'0'.repeat(64)}`;
    expect((await edge.request(path, { method: 'DELETE', headers })).status).toBe(403);
  });

  it('makes the texts that were written of it unknown by the ids of their messages', async () => {
    const [acme, globex] = await keysOf();
    const edge = startEdge({ env: CLOSED });
    const bytes = newImage();
    const user = {
      role: 'user',
      content: [
        { type: 'input_text', text: 'what?' },
        { type: 'input_image', image_url: `data:image/png;base64,${base64(bytes)}` },
      ],
    };
    const written = await edge.post(
      '/v1/responses',
      { model: generative.name, input: [user] },
      acme?.[0],
    );
    const { output } = (await written.json()) as { output: { id: string }[] };
    const again = async (keys: Keys[number] | undefined) => {
      const reference = { type: 'item_reference', id: output[0]?.id };
      const next = { role: 'user', content: 'and?' };
      const body = { model: generative.name, input: [user, reference, next] };
      return (await edge.post('/v1/responses', body, keys?.[0])).status;
    };
    expect(await again(globex)).toBe(400);
    expect(await again(acme)).toBe(200);
    const path = `/v1/images/${await imageIdOf(bytes)}`;
    await edge.request(path, { method: 'DELETE', headers: acme?.[1] ?? {} });
    expect(await again(acme)).toBe(400);
  });
});
