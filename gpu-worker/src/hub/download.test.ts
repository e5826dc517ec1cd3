import { spawnSync } from 'node:child_process';
import { mkdir, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { HubFixture } from './testing/hub-fixture.ts';
import type { Intercept } from './testing/hub-server.ts';

const SHARD = 'model-00002-of-00005.safetensors';

/** Answers the first `times` requests for the shard in the storage's stead. */
function instead(answer: Intercept, times = 1): Intercept {
  let left = times;
  return (request, response, bytes) => {
    const isShard = request.server === 'storage' && request.path.endsWith(SHARD);
    if (!isShard || left === 0) return false;
    left -= 1;
    return answer(request, response, bytes);
  };
}

const ranges = ({ hub }: HubFixture) =>
  hub.requests
    .filter(({ server, path }) => server === 'storage' && path.endsWith(SHARD))
    .map(({ range }) => range);

/** Those of packages that other test files have loaded end the process. */
let others: NodeJS.SignalsListener[] = [];
const nothing = () => {};

/** Bytes that a file of this process may have; nothing for no limit. What is beyond is an error of the write, as on a full disk. */
function limitFiles(bytes: number | ''): void {
  if (bytes === '') {
    process.removeListener('SIGXFSZ', nothing);
    for (const other of others.splice(0)) process.on('SIGXFSZ', other);
  } else {
    others = process.listeners('SIGXFSZ') as NodeJS.SignalsListener[];
    process.removeAllListeners('SIGXFSZ').on('SIGXFSZ', nothing);
  }
  const limit = bytes === '' ? '--fsize=unlimited:' : `--fsize=${bytes}:`;
  const { status } = spawnSync('prlimit', [limit, '--pid', String(process.pid)]);
  expect(status).toBe(0);
}

async function leave(fixture: HubFixture, bytes: Uint8Array): Promise<void> {
  const partial = fixture.partialOf(SHARD);
  await mkdir(dirname(partial), { recursive: true });
  await writeFile(partial, bytes);
}

describe('a download', () => {
  it('resumes where the connection was cut', async () => {
    await using fixture = await HubFixture.open();
    fixture.hub.intercept = instead((_request, response, bytes) => {
      response.writeHead(200, { 'content-length': bytes!.length });
      response.write(bytes!.subarray(0, 50_000), () => response.destroy());
      return true;
    });
    await fixture.pull();
    expect(ranges(fixture)).toEqual([undefined, 'bytes=50000-']);
    expect(fixture.waits).toHaveLength(1);
    await fixture.expectWhole();
  });

  it('resumes where the connection stalled', async () => {
    await using fixture = await HubFixture.open();
    fixture.hub.intercept = instead((_request, response, bytes) => {
      response.writeHead(200, { 'content-length': bytes!.length });
      response.write(bytes!.subarray(0, 50_000));
      return true;
    });
    await fixture.pull({ stallMs: 500 });
    expect(ranges(fixture)).toEqual([undefined, 'bytes=50000-']);
    await fixture.expectWhole();
  });

  it('resumes the partial file of an earlier pull', async () => {
    await using fixture = await HubFixture.open();
    await leave(fixture, fixture.hub.files.get(SHARD)!.subarray(0, 70_001));
    await fixture.pull();
    expect(ranges(fixture)).toEqual(['bytes=70001-']);
    await fixture.expectWhole();
  });

  it.each<[string, (path: string) => unknown]>([
    ['a pipe (FIFO)', (path) => spawnSync('mkfifo', [path])],
    ['a link', (path) => symlink('elsewhere', path)],
    ['a folder', (path) => mkdir(path)],
  ])('does not write into %s in the place of the partial file, and names it', async (what, put) => {
    await using fixture = await HubFixture.open();
    const partial = fixture.partialOf(SHARD);
    await mkdir(dirname(partial), { recursive: true });
    await put(partial);
    await expect(fixture.pull()).rejects.toThrow(`${partial} is ${what}, not a file: put`);
    await rm(partial, { recursive: true });
    await fixture.pull();
    await fixture.expectWhole();
  });

  it('requests nothing when the partial file has all bytes', async () => {
    await using fixture = await HubFixture.open();
    await leave(fixture, fixture.hub.files.get(SHARD)!);
    await fixture.pull();
    expect(ranges(fixture)).toEqual([]);
    await fixture.expectWhole();
  });

  it('starts over where the server ignores ranges', async () => {
    await using fixture = await HubFixture.open();
    await leave(fixture, fixture.hub.files.get(SHARD)!.subarray(0, 70_001));
    fixture.hub.intercept = instead((_request, response, bytes) => {
      response.writeHead(200, { 'content-length': bytes!.length }).end(bytes);
      return true;
    });
    await fixture.pull();
    expect(ranges(fixture)).toHaveLength(1);
    await fixture.expectWhole();
  });

  it.each([
    ['has no such range', 416, { 'content-range': 'bytes */7' }],
    ['gives another range', 206, { 'content-range': 'bytes 3-9/10' }],
  ])('starts over where the server %s', async (_name, status, headers) => {
    await using fixture = await HubFixture.open();
    await leave(fixture, fixture.hub.files.get(SHARD)!.subarray(0, 70_001));
    fixture.hub.intercept = instead((_request, response) => {
      response.writeHead(status, headers).end('1234567');
      return true;
    });
    await fixture.pull();
    expect(ranges(fixture)).toEqual(['bytes=70001-', undefined]);
    await fixture.expectWhole();
  });

  it.each([
    ['other bytes', (size: number) => size - 5],
    ['too many bytes', (size: number) => size + 5],
  ])('starts over when the partial file has %s', async (_name, length) => {
    await using fixture = await HubFixture.open();
    await leave(fixture, Buffer.alloc(length(fixture.hub.files.get(SHARD)!.length), 'x'));
    await fixture.pull();
    expect(ranges(fixture).at(-1)).toBeUndefined();
    await fixture.expectWhole();
  });

  it('is repeated once when the digest is wrong', async () => {
    await using fixture = await HubFixture.open();
    fixture.hub.intercept = instead((_request, response, bytes) => {
      response.end(bytes!.map((byte, at) => (at === 60_000 ? byte ^ 1 : byte)));
      return true;
    });
    await fixture.pull();
    expect(ranges(fixture)).toEqual([undefined, undefined]);
    await fixture.expectWhole();
  });

  it('fails when the digest is wrong twice, and deletes the bytes', async () => {
    await using fixture = await HubFixture.open();
    fixture.hub.intercept = instead((_request, response, bytes) => {
      response.end(Buffer.alloc(bytes!.length));
      return true;
    }, 2);
    await expect(fixture.pull()).rejects.toThrow(/model-00002-of-00005.safetensors arrived twice/);
    expect(await readdir(fixture.folder)).not.toContain(SHARD);
    const blobs = await readdir(join(fixture.repository, 'blobs'));
    expect(blobs.filter((name) => name.startsWith(fixture.hub.digestOf(SHARD)))).toEqual([]);
  });

  it('stops when more bytes come than the file has', async () => {
    await using fixture = await HubFixture.open();
    fixture.hub.intercept = instead((_request, response, bytes) => {
      response.writeHead(200);
      const more = () => void (response.destroyed || response.write(bytes, more));
      more();
      return true;
    });
    await fixture.pull();
    await fixture.expectWhole();
  });

  it.runIf(process.platform === 'linux')('says when the disk takes no more', async () => {
    await using fixture = await HubFixture.open();
    const partial = fixture.partialOf(SHARD);
    limitFiles(50_000);
    await expect(fixture.pull({ connections: 1 })).rejects.toThrow(
      `cannot be written to ${partial}: it is larger than this process may write (EFBIG).`,
    );
    limitFiles('');
    expect(fixture.waits).toEqual([]);
  });

  it('checks small files by the id that git gives them', async () => {
    await using fixture = await HubFixture.open();
    let spoilt = false;
    fixture.hub.intercept = ({ server, path }, response, bytes) => {
      if (spoilt || server !== 'hub' || !path.endsWith('/tokenizer.json')) return false;
      spoilt = true;
      response.end(bytes!.toString().replace('{', '['));
      return true;
    };
    await fixture.pull();
    expect(fixture.hub.downloads.filter((name) => name === 'tokenizer.json')).toHaveLength(2);
    await fixture.expectWhole();
  });
});

describe('a server that is busy', () => {
  it('is retried after its Retry-After', async () => {
    await using fixture = await HubFixture.open();
    fixture.hub.intercept = instead((_request, response) => {
      response.writeHead(429, { 'retry-after': '7' }).end();
      return true;
    });
    await fixture.pull();
    expect(fixture.waits).toEqual([7000]);
    await fixture.expectWhole();
  });

  it('is retried with exponential backoff, six times in all', async () => {
    await using fixture = await HubFixture.open();
    fixture.hub.intercept = ({ path }, response) => {
      if (!path.includes('/revision/')) return false;
      response.writeHead(503).end();
      return true;
    };
    await expect(fixture.pull()).rejects.toThrow(/has a failure \(503\).*6 attempts in a row/);
    expect(fixture.waits).toHaveLength(5);
    for (const [nth, ms] of fixture.waits.entries()) {
      expect(ms).toBeGreaterThanOrEqual(500 * 2 ** nth);
      expect(ms).toBeLessThanOrEqual(1000 * 2 ** nth);
    }
  });

  it('is retried without end while each attempt brings bytes', async () => {
    await using fixture = await HubFixture.open();
    const step = 10_000;
    fixture.hub.intercept = instead(({ range }, response, bytes) => {
      const from = Number(/\d+/.exec(range ?? '')?.[0] ?? 0);
      const size = bytes!.length;
      response.writeHead(from > 0 ? 206 : 200, {
        'content-length': size - from,
        ...(from > 0 ? { 'content-range': `bytes ${from}-${size - 1}/${size}` } : {}),
      });
      response.write(bytes!.subarray(from, from + step), () => response.destroy());
      return true;
    }, 8);
    await fixture.pull();
    expect(ranges(fixture)).toHaveLength(9);
    await fixture.expectWhole();
  });
});
