import { existsSync } from 'node:fs';
import { mkdir, readdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Intercept } from './testing/hub-server.ts';
import { Workplace } from './testing/workplace.ts';

const SHARD = 'model-00002-of-00005.safetensors';

/** Lets the answer take the place of the storage's for the first `times` requests for the shard. */
function instead(answer: Intercept, times = 1): Intercept {
  let left = times;
  return (seen, response, bytes) => {
    if (seen.server !== 'storage' || !seen.path.endsWith(SHARD) || left === 0) return false;
    left -= 1;
    return answer(seen, response, bytes);
  };
}

const ranges = ({ hub }: Workplace) =>
  hub.seen
    .filter(({ server, path }) => server === 'storage' && path.endsWith(SHARD))
    .map(({ range }) => range);

async function leave(place: Workplace, bytes: Uint8Array): Promise<void> {
  await mkdir(place.folder, { recursive: true });
  await writeFile(join(place.folder, `${SHARD}.incomplete`), bytes);
}

describe('a download', () => {
  it('goes on where the connection was cut', async () => {
    await using place = await Workplace.open();
    place.hub.intercept = instead((_seen, response, bytes) => {
      response.writeHead(200, { 'content-length': bytes!.length });
      response.write(bytes!.subarray(0, 50_000), () => response.destroy());
      return true;
    });
    await place.pull();
    expect(ranges(place)).toEqual([undefined, 'bytes=50000-']);
    expect(place.waits).toHaveLength(1);
    await place.expectWhole();
  });

  it('goes on where the connection stood still', async () => {
    await using place = await Workplace.open();
    place.hub.intercept = instead((_seen, response, bytes) => {
      response.writeHead(200, { 'content-length': bytes!.length });
      response.write(bytes!.subarray(0, 50_000));
      return true;
    });
    await place.pull({ stallMs: 500 });
    expect(ranges(place)).toEqual([undefined, 'bytes=50000-']);
    await place.expectWhole();
  });

  it('goes on from what an earlier pull has left', async () => {
    await using place = await Workplace.open();
    await leave(place, place.hub.files.get(SHARD)!.subarray(0, 70_001));
    await place.pull();
    expect(ranges(place)).toEqual(['bytes=70001-']);
    await place.expectWhole();
  });

  it('asks for nothing when all bytes were left', async () => {
    await using place = await Workplace.open();
    await leave(place, place.hub.files.get(SHARD)!);
    await place.pull();
    expect(ranges(place)).toEqual([]);
    await place.expectWhole();
  });

  it('starts again where the server does no ranges', async () => {
    await using place = await Workplace.open();
    await leave(place, place.hub.files.get(SHARD)!.subarray(0, 70_001));
    place.hub.intercept = instead((_seen, response, bytes) => {
      response.writeHead(200, { 'content-length': bytes!.length }).end(bytes);
      return true;
    });
    await place.pull();
    expect(ranges(place)).toHaveLength(1);
    await place.expectWhole();
  });

  it.each([
    ['has no such range', 416, { 'content-range': 'bytes */7' }],
    ['gives another range', 206, { 'content-range': 'bytes 3-9/10' }],
  ])('starts again where the server %s', async (_name, status, headers) => {
    await using place = await Workplace.open();
    await leave(place, place.hub.files.get(SHARD)!.subarray(0, 70_001));
    place.hub.intercept = instead((_seen, response) => {
      response.writeHead(status, headers).end('1234567');
      return true;
    });
    await place.pull();
    expect(ranges(place)).toEqual(['bytes=70001-', undefined]);
    await place.expectWhole();
  });

  it.each([
    ['other bytes', (size: number) => size - 5],
    ['too many bytes', (size: number) => size + 5],
  ])('starts again from what is left when that is %s', async (_name, length) => {
    await using place = await Workplace.open();
    await leave(place, Buffer.alloc(length(place.hub.files.get(SHARD)!.length), 'x'));
    await place.pull();
    expect(ranges(place).at(-1)).toBeUndefined();
    await place.expectWhole();
  });

  it('is made once more when the bytes are wrong', async () => {
    await using place = await Workplace.open();
    place.hub.intercept = instead((_seen, response, bytes) => {
      response.end(bytes!.map((byte, at) => (at === 60_000 ? byte ^ 1 : byte)));
      return true;
    });
    await place.pull();
    expect(ranges(place)).toEqual([undefined, undefined]);
    await place.expectWhole();
  });

  it('fails when the bytes are wrong twice, and leaves none of them', async () => {
    await using place = await Workplace.open();
    place.hub.intercept = instead((_seen, response, bytes) => {
      response.end(Buffer.alloc(bytes!.length));
      return true;
    }, 2);
    await expect(place.pull()).rejects.toThrow(/model-00002-of-00005.safetensors arrived twice/);
    const left = await readdir(place.folder);
    expect(left.filter((name) => name.startsWith(SHARD))).toEqual([]);
  });

  it('ends when more comes than the file is long', async () => {
    await using place = await Workplace.open();
    place.hub.intercept = instead((_seen, response, bytes) => {
      response.writeHead(200);
      const more = () => void (response.destroyed || response.write(bytes, more));
      more();
      return true;
    });
    await place.pull();
    await place.expectWhole();
  });

  it.skipIf(!existsSync('/dev/full'))('says when the disk is full', async () => {
    await using place = await Workplace.open();
    await mkdir(place.folder, { recursive: true });
    await symlink('/dev/full', join(place.folder, `${SHARD}.incomplete`));
    await expect(place.pull()).rejects.toThrow(
      `${SHARD}.incomplete cannot be written: the disk is full.`,
    );
    expect(place.waits).toEqual([]);
  });

  it('checks small files by the id that git gives them', async () => {
    await using place = await Workplace.open();
    let spoilt = false;
    place.hub.intercept = ({ server, path }, response, bytes) => {
      if (spoilt || server !== 'hub' || !path.endsWith('/tokenizer.json')) return false;
      spoilt = true;
      response.end(bytes!.toString().replace('{', '['));
      return true;
    };
    await place.pull();
    expect(place.hub.downloads.filter((name) => name === 'tokenizer.json')).toHaveLength(2);
    await place.expectWhole();
  });
});

describe('a server that is busy', () => {
  it('is left alone for as long as it asks', async () => {
    await using place = await Workplace.open();
    place.hub.intercept = instead((_seen, response) => {
      response.writeHead(429, { 'retry-after': '7' }).end();
      return true;
    });
    await place.pull();
    expect(place.waits).toEqual([7000]);
    await place.expectWhole();
  });

  it('is left alone for longer and longer, and not for ever', async () => {
    await using place = await Workplace.open();
    place.hub.intercept = ({ path }, response) => {
      if (!path.includes('/revision/')) return false;
      response.writeHead(503).end();
      return true;
    };
    await expect(place.pull()).rejects.toThrow(/has a failure \(503\).*6 attempts in a row/);
    expect(place.waits).toHaveLength(5);
    for (const [nth, ms] of place.waits.entries()) {
      expect(ms).toBeGreaterThanOrEqual(500 * 2 ** nth);
      expect(ms).toBeLessThanOrEqual(1000 * 2 ** nth);
    }
  });

  it('is asked without end while each attempt brings something', async () => {
    await using place = await Workplace.open();
    const step = 10_000;
    place.hub.intercept = instead(({ range }, response, bytes) => {
      const from = Number(/\d+/.exec(range ?? '')?.[0] ?? 0);
      const size = bytes!.length;
      response.writeHead(from > 0 ? 206 : 200, {
        'content-length': size - from,
        ...(from > 0 ? { 'content-range': `bytes ${from}-${size - 1}/${size}` } : {}),
      });
      response.write(bytes!.subarray(from, from + step), () => response.destroy());
      return true;
    }, 8);
    await place.pull();
    expect(ranges(place)).toHaveLength(9);
    await place.expectWhole();
  });
});
