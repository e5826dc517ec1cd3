import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { expect, it, onTestFinished } from 'vitest';
import { addressesOf, inDns, parseHosts } from './resolve.ts';

const NAME = 'images.example';
const [A, AAAA] = [1, 28];

/** A name server that answers with these bytes of an address, by the type that is asked for; undefined is no answer. */
async function startNameServer(answer: (type: number) => number[] | null | undefined) {
  const server: Socket = createSocket('udp4');
  const asked: number[] = [];
  server.on('message', (query, { port, address }) => {
    // After a head of 12 bytes: the labels of the name, each behind its length, an empty one, and type and class.
    const end = query.indexOf(0, 12) + 5;
    const type = query.readUInt16BE(end - 4);
    asked.push(type);
    const bytes = answer(type);
    if (bytes === undefined) return;
    const head = Buffer.from(query.subarray(0, 12));
    // A reply, with recursion; of no such name.
    head.writeUInt16BE(bytes === null ? 0x8183 : 0x8180, 2);
    head.writeUInt16BE(bytes === null || bytes.length === 0 ? 0 : 1, 6);
    head.writeUInt32BE(0, 8);
    const parts = [head, query.subarray(12, end)];
    if (bytes?.length) {
      parts.push(Buffer.from([0xc0, 12, 0, type, 0, 1, 0, 0, 0, 60, 0, bytes.length, ...bytes]));
    }
    server.send(Buffer.concat(parts), port, address);
  });
  server.bind(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  const { port } = server.address();
  const lookUp = (name: string, signal: AbortSignal) => inDns(name, signal, [`127.0.0.1:${port}`]);
  return { asked, server, lookUp };
}

const waiting = () => new AbortController().signal;
const of = (name: string, lookUp: Parameters<typeof addressesOf>[1]['lookUp']) =>
  addressesOf(name, { allowPrivate: false, lookUp }, waiting());

it('a name has its public addresses of both kinds', async () => {
  const v6 = [0x26, 0x06, 0x47, ...Array(12).fill(0), 1];
  const { asked, lookUp } = await startNameServer((type) => (type === A ? [1, 1, 1, 1] : v6));
  expect(await of(NAME, lookUp)).toEqual(['1.1.1.1', '2606:4700::1']);
  expect(asked.sort()).toEqual([A, AAAA]);
});

it('a name of which one address is private has the other', async () => {
  const { lookUp } = await startNameServer((type) =>
    type === A ? [8, 8, 8, 8] : [...Array(15).fill(0), 1],
  );
  expect(await of(NAME, lookUp)).toEqual(['8.8.8.8']);
});

it.each<[string, (type: number) => number[] | null]>([
  ['does not exist', () => null],
  ['has no addresses', () => []],
  ['has private addresses', (type) => (type === A ? [169, 254, 169, 254] : [])],
])('a name that %s has none', async (_, answer) => {
  const { lookUp } = await startNameServer(answer);
  await expect(of(NAME, lookUp)).rejects.toMatchObject({ reason: 'no-address' });
});

it('a name server that does not answer is not waited for when nobody else waits', async () => {
  const { server, lookUp } = await startNameServer(() => undefined);
  const leaving = new AbortController();
  const found = addressesOf(NAME, { allowPrivate: false, lookUp }, leaving.signal);
  found.catch(() => {});
  await once(server, 'message');
  leaving.abort();
  await expect(found).rejects.toMatchObject({ reason: 'no-address' });
});

it('an address is its own, and is not looked up', async () => {
  const lookUp = () => Promise.reject(new Error('It is looked up.'));
  expect(await of('1.1.1.1', lookUp)).toEqual(['1.1.1.1']);
  expect(await of('[2606:4700::1]', lookUp)).toEqual(['2606:4700::1']);
  await expect(of('127.0.0.1', lookUp)).rejects.toMatchObject({ reason: 'no-address' });
});

it('localhost has the addresses that the system says, where private ones are allowed', async () => {
  const found = await addressesOf('localhost', { allowPrivate: true }, waiting());
  expect(found).toContain('127.0.0.1');
});

it('names of the hosts file are read as the system reads them', () => {
  const hosts = parseHosts(
    '192.0.2.1\ta.example B.example # c.example\r\n#x\n::1 a.example\nno b\n',
  );
  expect([...hosts]).toEqual([
    ['a.example', ['192.0.2.1', '::1']],
    ['b.example', ['192.0.2.1']],
  ]);
});
