import { crc32 } from 'node:zlib';
import { imagePathOf, imagePrefix } from '@blip2/shared/cache-key';
import { decodeEmbeddings } from '@blip2/shared/embedding-codec';
import { Problem } from '@blip2/shared/errors';
import { imageIdOf } from '@blip2/shared/image-id';
import { EmbeddingsLookupLine, MAX_LOOKUPS } from '@blip2/shared/schemas/embeddings';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { heldBytes, lookupMany } from '../embeddings/lookup-many.ts';
import { newImage, startEdge, type TestEdge, testContext, testEnv } from '../testing/edge.ts';
import { EMBEDDINGS } from '../testing/fake-gpu.ts';
import { generative, instructedModels } from '../testing/models.ts';
import { bulkReads } from '../turns/bulk-reads.ts';

const shape = { numQueries: generative.num_query_tokens, hidden: generative.qformer_hidden };
const { values } = decodeEmbeddings(EMBEDDINGS, shape);
const PATH = '/v1/embeddings/lookup';
const ABSENT = '0'.repeat(64);

let edge: TestEdge;
beforeEach(() => {
  edge = startEdge();
});

async function cacheSome(count: number, query = ''): Promise<string[]> {
  const ids: string[] = [];
  for (let i = 0; i < count; i++) {
    const image = newImage();
    const reply = await edge.post(`/v1/embeddings${query}`, image, { 'content-type': 'image/png' });
    expect(reply.status).toBe(200);
    ids.push(await imageIdOf(image));
  }
  await edge.settled();
  return ids;
}

const lookup = (members: object, headers: Record<string, string> = {}) =>
  edge.post(PATH, members, headers);

async function linesOf(reply: Response): Promise<EmbeddingsLookupLine[]> {
  const lines = new TextDecoder().decode(await reply.arrayBuffer()).split('\n');
  expect(lines.pop()).toBe('');
  return lines.map((line) => EmbeddingsLookupLine.parse(JSON.parse(line)));
}

type Tensors = { metadata: Record<string, string>; tensors: Map<string, Uint8Array> };

/** A file of safetensors by the book: no byte that belongs to no tensor. */
function readSafetensors(file: Uint8Array): Tensors {
  const length = Number(new DataView(file.buffer).getBigUint64(0, true));
  expect(length % 8).toBe(0);
  const header = JSON.parse(new TextDecoder().decode(file.subarray(8, 8 + length)));
  const { __metadata__: metadata, ...all } = header;
  let end = 0;
  const tensors = new Map<string, Uint8Array>();
  for (const [name, { data_offsets }] of Object.entries<{ data_offsets: [number, number] }>(all)) {
    expect(data_offsets[0]).toBe(end);
    end = data_offsets[1];
    tensors.set(name, file.slice(8 + length + data_offsets[0], 8 + length + end));
  }
  expect(file.length).toBe(8 + length + end);
  return { metadata, tensors };
}

/** The files of a zip archive, found from its end, their checksums checked. */
function readZip(file: Uint8Array): Map<string, Uint8Array> {
  const view = new DataView(file.buffer);
  const end = file.length - 22;
  expect(view.getUint32(end, true)).toBe(0x06054b50);
  const count = view.getUint16(end + 10, true);
  let at = view.getUint32(end + 16, true);
  const files = new Map<string, Uint8Array>();
  for (let i = 0; i < count; i++) {
    expect(view.getUint32(at, true)).toBe(0x02014b50);
    const [crc, size] = [view.getUint32(at + 16, true), view.getUint32(at + 24, true)];
    const length = view.getUint16(at + 28, true);
    const local = view.getUint32(at + 42, true);
    expect(view.getUint32(local, true)).toBe(0x04034b50);
    const name = new TextDecoder().decode(file.subarray(at + 46, at + 46 + length));
    const bytes = file.slice(local + 30 + length, local + 30 + length + size);
    expect(crc32(bytes)).toBe(crc);
    files.set(name, bytes);
    at += 46 + length;
  }
  expect(at).toBe(end);
  return files;
}

const bytesOf = async (reply: Response) => new Uint8Array(await reply.arrayBuffer());

describe('a look-up of many images', () => {
  it('answers a line for each, in their order, and names what is missing', async () => {
    const [one, two] = await cacheSome(2);
    edge.gpu.script.isGone = true;
    const reply = await lookup({ sha256: [two, ABSENT, one?.toUpperCase()] });
    expect(reply.headers.get('content-type')).toBe('application/x-ndjson');
    const lines = await linesOf(reply);
    expect(lines.map((line) => 'sha256' in line && line.sha256)).toEqual([two, ABSENT, one]);
    expect(lines[1]).toEqual({ sha256: ABSENT, missing: true });
    const [first] = lines;
    if (first === undefined || !('embeddings' in first)) throw new Error('nothing was found');
    expect(first.embeddings.flat()).toEqual([...values]);
    expect(first.image).toMatchObject({ width: 40, height: 30, format: 'png' });
  });

  it.each([
    ['float32', undefined],
    ['float32', 'float32'],
    ['float16', 'float16'],
  ] as const)('is a file of safetensors in %s where %s is asked for', async (type, dtype) => {
    const ids = await cacheSome(3);
    const sha256 = [...ids.slice(0, 2), ABSENT, ...ids.slice(2)];
    const reply = await lookup({ sha256, dtype }, { accept: 'application/x-safetensors' });
    const file = await bytesOf(reply);
    const { metadata, tensors } = readSafetensors(file);
    expect([...tensors.keys()]).toEqual(ids);
    expect(JSON.parse(metadata.missing ?? '')).toEqual([ABSENT]);
    expect(metadata).toMatchObject({ kind: 'query', model: generative.name });
    const Values = type === 'float16' ? Float16Array : Float32Array;
    for (const tensor of tensors.values()) {
      expect([...new Values(tensor.buffer as ArrayBuffer)]).toEqual([...values]);
    }
  });

  it('is a file of NumPy', async () => {
    const ids = await cacheSome(2);
    const accept = 'application/x-npz';
    const reply = await lookup({ sha256: [ABSENT, ...ids], dtype: 'float16' }, { accept });
    const files = readZip(await bytesOf(reply));
    expect([...files.keys()]).toEqual([...ids.map((id) => `${id}.npy`), 'missing.npy']);
    for (const id of ids) {
      const payload = files.get(`${id}.npy`)?.slice(-2 * values.length) ?? new Uint8Array();
      expect([...new Float16Array(payload.buffer)]).toEqual([...values]);
    }
    const missing = files.get('missing.npy') ?? new Uint8Array();
    expect(new TextDecoder().decode(missing.subarray(10, 80))).toContain("'<U64'");
    const codes = new Uint32Array(missing.slice(-4 * 64).buffer);
    expect(String.fromCharCode(...codes)).toBe(ABSENT);
  });

  it('may find nothing at all', async () => {
    const types = ['application/x-safetensors', 'application/x-npz'];
    const [safetensors, npz] = await Promise.all(
      types.map(async (accept) => await bytesOf(await lookup({ sha256: [ABSENT] }, { accept }))),
    );
    expect(readSafetensors(safetensors as Uint8Array).tensors.size).toBe(0);
    expect([...readZip(npz as Uint8Array).keys()]).toEqual(['missing.npy']);
  });

  it('finds a thousand, and asks KV for each once', async () => {
    const [first = ''] = await cacheSome(1);
    const { kv } = edge;
    const { metadata, value } = await kv.getWithMetadata(
      `${imagePrefix(imagePathOf('', first))}qf/${generative.revision}/${generative.preprocessing}`,
      'arrayBuffer',
    );
    expect([metadata, value]).not.toContain(null);
    let reads = 0;
    const counted = new Proxy(kv, {
      get(target, name) {
        if (name === 'getWithMetadata') reads++;
        const member = Reflect.get(target, name);
        return typeof member === 'function' ? member.bind(target) : member;
      },
    });
    edge = startEdge({ env: { EMBEDDINGS: counted } });
    const absent = Array.from({ length: MAX_LOOKUPS - 1 }, (_, i) => `${i}`.padStart(64, 'a'));
    const lines = await linesOf(await lookup({ sha256: [...absent, first] }));
    expect(lines).toHaveLength(MAX_LOOKUPS);
    expect(lines.filter((line) => 'missing' in line)).toHaveLength(MAX_LOOKUPS - 1);
    expect(lines.at(-1)).toMatchObject({ sha256: first });
    expect(reads).toBe(MAX_LOOKUPS);
  }, 60_000);

  it('finds those of kind itc, and those of an instruction', async () => {
    const [id] = await cacheSome(1, '?kind=itc');
    expect((await linesOf(await lookup({ sha256: [id], kind: 'itc' })))[0]).toHaveProperty('image');
    expect((await linesOf(await lookup({ sha256: [id] })))[0]).toHaveProperty('missing');
    edge = startEdge({ models: instructedModels(64) });
    const [other] = await cacheSome(1, '?instruction=what+is+it');
    const found = await lookup({ sha256: [other], instruction: 'what is it' });
    expect((await linesOf(found))[0]).toHaveProperty('image');
    const none = await lookup({ sha256: [other], instruction: 'where is it' });
    expect((await linesOf(none))[0]).toHaveProperty('missing');
  });
});

describe('a look-up that outlasts the time of a request', () => {
  /** An edge for which each read of KV takes 40 seconds. */
  function startSlowly(reads: string[]) {
    let time = Date.now();
    const slow = new Proxy(testEnv.EMBEDDINGS, {
      get(target, name) {
        if (name !== 'getWithMetadata') return Reflect.get(target, name);
        return async (key: string) => {
          reads.push(key);
          time += 40_000;
          return await target.getWithMetadata(key, 'arrayBuffer');
        };
      },
    });
    return startEdge({ env: { EMBEDDINGS: slow }, platform: { now: () => time } });
  }

  it('calls nothing missing that was not looked up', async () => {
    const [last = ''] = await cacheSome(1);
    const absent = Array.from({ length: 20 }, (_, i) => `${i}`.padStart(64, 'c'));
    const sha256 = [...absent, last];
    const reads: string[] = [];
    edge = startSlowly(reads);
    const lines = await linesOf(await lookup({ sha256 }));
    expect(lines.slice(0, -1)).toEqual(absent.map((hash) => ({ sha256: hash, missing: true })));
    expect(lines.at(-1)).toMatchObject({ sha256: last, image: {} });
    expect(new Set(reads).size).toBe(sha256.length);
    edge = startSlowly([]);
    const npz = await lookup({ sha256 }, { accept: 'application/x-npz' });
    expect([...readZip(await bytesOf(npz)).keys()]).toEqual([`${last}.npy`, 'missing.npy']);
  });

  it('is an error where its reply names first what is missing', async () => {
    const reads: string[] = [];
    edge = startSlowly(reads);
    const sha256 = Array.from({ length: 20 }, (_, i) => `${i}`.padStart(64, 'd'));
    const reply = await lookup({ sha256 }, { accept: 'application/x-safetensors' });
    expect(reply.status).toBe(504);
    expect(Problem.parse(await reply.json()).detail).toContain('ask for fewer at a time');
    // Those that had begun when it was given up.
    expect(new Set(reads).size).toBeLessThan(sha256.length);
  });
});

describe('a look-up whose client does not read on', () => {
  const types = ['application/x-ndjson', 'application/x-npz', 'application/x-safetensors'];

  it.each(types)('counts among its large bodies until it is left: %s', async (accept) => {
    const ids = await cacheSome(1);
    // Room for two of a client.
    const one = heldBytes({ shape }) - 2 ** 16;
    edge = startEdge({
      env: {
        MAX_HELD_BYTES: String(Math.max(5 * one, 2 ** 20)),
        CLIENT_ADDRESS_HEADER: 'x-address',
      },
    });
    const client = { accept, 'x-address': `198.51.100.${types.indexOf(accept)}` };
    const open: Response[] = [];
    let refused: Response | undefined;
    while (refused === undefined && open.length < 200) {
      const reply = await lookup({ sha256: ids }, client);
      if (reply.status === 200) open.push(reply);
      else refused = reply;
    }
    expect(refused?.status).toBe(429);
    const other = await lookup({ sha256: ids }, { ...client, 'x-address': '198.51.100.200' });
    expect(other.status).toBe(200);
    await other.arrayBuffer();
    await open.pop()?.body?.cancel();
    const again = await lookup({ sha256: ids }, client);
    expect(again.status).toBe(200);
    await again.arrayBuffer();
    for (const reply of open) await reply.arrayBuffer();
    const last = await lookup({ sha256: ids }, client);
    expect(last.status).toBe(200);
    await last.arrayBuffer();
  });

  it('breaks off after the time of a request', async () => {
    const ids = await cacheSome(3);
    edge = startEdge({ env: { REQUEST_DEADLINE_MS: '100' } });
    const reader = (await lookup({ sha256: ids })).body?.getReader();
    await reader?.read();
    await new Promise((resolve) => setTimeout(resolve, 150));
    await expect(reader?.read()).rejects.toThrow();
  });
});

describe('a look-up that cannot be answered', () => {
  it.each([
    [{}, 'sha256', 'is required'],
    [{ sha256: [] }, 'sha256', 'at least 1'],
    [{ sha256: ABSENT }, 'sha256', 'must be of type array'],
    [{ sha256: [ABSENT, 'abc'] }, 'sha256.1', '64 hexadecimal digits'],
    [{ sha256: [ABSENT, 'a'.repeat(64), ABSENT] }, 'sha256.2', 'the same hash as sha256.0'],
    [{ sha256: ['A'.repeat(64), 'a'.repeat(64)] }, 'sha256.1', 'the same hash as sha256.0'],
    [{ sha256: Array(1001).fill(ABSENT) }, 'sha256', 'at most 1000'],
    [{ sha256: [ABSENT], dtype: 'int8' }, 'dtype', 'float16, float32'],
    [{ sha256: [ABSENT], kind: 'clip' }, 'kind', 'query, itc'],
    [{ sha256: [ABSENT], instruction: 'x' }, 'instruction', 'leave it out'],
  ])('%# is refused, by name', async (members, field, detail) => {
    const reply = await lookup(members);
    expect(reply.status).toBe(400);
    const problem = Problem.parse(await reply.json());
    expect(problem.field).toBe(field);
    expect(problem.detail).toContain(detail);
  });

  it('leaves none waiting where nobody wants the rest', async () => {
    const run = vi.spyOn(bulkReads, 'run');
    const ids = Array.from({ length: 30 }, (_, n) => `${n}`.padStart(64, '0'));
    const options = { dtype: undefined, instructionIds: undefined };
    const all = lookupMany(edge.deps.stores.query, ids, options, testContext().context);
    expect(await all.next()).toMatchObject({ value: { id: ids[0] } });
    const waits = run.mock.calls.map(([, , wait]) => wait?.ended);
    vi.restoreAllMocks();
    expect(waits.map((ended) => ended?.aborted)).toEqual(Array(6).fill(false));
    await all.return();
    expect(waits.map((ended) => ended?.aborted)).toEqual(Array(6).fill(true));
  });

  it('is refused in another media type', async () => {
    const reply = await lookup({ sha256: [ABSENT] }, { accept: 'application/json' });
    expect(reply.status).toBe(406);
    expect(Problem.parse(await reply.json()).detail).toContain('application/x-npz');
  });

  it('says that KV does not answer, before or after the reply began, and calls nothing missing', async () => {
    const [first = ''] = await cacheSome(1);
    const { EMBEDDINGS: kv } = testEnv;
    const failing = new Proxy(kv, {
      get(target, name) {
        if (name !== 'getWithMetadata') return Reflect.get(target, name);
        return async (key: string) => {
          if (!key.endsWith(first)) throw new Error('KV is down');
          return await target.getWithMetadata(key, 'arrayBuffer');
        };
      },
    });
    edge = startEdge({ env: { EMBEDDINGS: failing } });
    for (const accept of ['application/x-ndjson', 'application/x-npz']) {
      expect((await lookup({ sha256: [ABSENT, first] }, { accept })).status).toBe(503);
    }
    const either = await lookup(
      { sha256: [first, ABSENT] },
      { accept: 'application/x-safetensors' },
    );
    expect(either.status).toBe(503);
    const lines = await linesOf(await lookup({ sha256: [first, ABSENT, 'b'.repeat(64)] }));
    expect(lines).toHaveLength(2);
    expect(lines[1]).toMatchObject({ error: { type: '/problems/cache-unavailable' } });
    const npz = await lookup({ sha256: [first, ABSENT] }, { accept: 'application/x-npz' });
    await expect(npz.arrayBuffer()).rejects.toThrow();
  });

  it('calls nothing missing where the cache of the location was not asked', async () => {
    const [first = ''] = await cacheSome(1);
    const failing = new Proxy(caches.default, {
      get: () => () => Promise.reject(new Error('the cache is down')),
    });
    edge = startEdge({ platform: { coloCache: failing } });
    const types = ['application/x-ndjson', 'application/x-npz', 'application/x-safetensors'];
    for (const accept of types) {
      expect((await lookup({ sha256: [ABSENT] }, { accept })).status, accept).toBe(503);
    }
    const lines = await linesOf(await lookup({ sha256: [first, ABSENT] }));
    expect(lines).toHaveLength(2);
    expect(lines[0]).toMatchObject({ sha256: first, image: {} });
    expect(lines[1]).toMatchObject({ error: { type: '/problems/cache-unavailable' } });
  });
});
