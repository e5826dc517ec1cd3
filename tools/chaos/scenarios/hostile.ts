/** Callers who want to keep the service from the others: those see nothing of it but a wait. */
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import {
  HOSTILE_CLAIMS,
  HOSTILE_FLOOD,
  HOSTILE_TEXTS,
  type HostileBody,
} from '../hostile/bodies.ts';
import { hostileImages } from '../hostile/images.ts';
import type { FaultScenario } from '../scenario.ts';
import type { World } from '../world.ts';

const ATTACK_MS = 10_000;
/** Whose address is not in this header is another client. */
const ADDRESS_HEADER = 'x-address';
const CLIENT = '192.0.2.1';

/** Of these, those that every run of the tests has. */
const SHORT = new Set(['texts', 'images']);

function hostile(name: string, about: string, run: (world: World) => Promise<void>): FaultScenario {
  return {
    kind: 'fault',
    name: `hostile-${name}`,
    about,
    sparesOthers: true,
    ...(SHORT.has(name) && { isShort: true }),
    prepare: async () => ({
      options: { vars: { CLIENT_ADDRESS_HEADER: ADDRESS_HEADER } },
      [Symbol.asyncDispose]: async () => {},
    }),
    run: async (world) => {
      await run(world);
      world.faulted();
    },
  };
}

/** Connections that send one request after the other, whatever the replies say. */
async function attack(
  world: World,
  connections: number,
  next: (connection: number, sent: number) => HostileBody & { client?: string },
): Promise<void> {
  const signal = AbortSignal.timeout(ATTACK_MS);
  const send = async (connection: number) => {
    for (let sent = 0; !signal.aborted; sent++) {
      const { path, headers, body, client = CLIENT } = next(connection, sent);
      const init = { method: 'POST', body: new Uint8Array(body), signal };
      const all = { ...headers, [ADDRESS_HEADER]: client };
      const response = await fetch(world.stack.url + path, { ...init, headers: all }).catch(
        () => null,
      );
      await response?.arrayBuffer().catch(() => {});
      if (response?.ok === false && response.status >= 429) await delay(50);
    }
  };
  await Promise.all(Array.from({ length: connections }, (_, i) => send(i)));
}

/** Sends a request, and resets its connection a moment later. */
async function resetAfter(world: World, { path, headers, body }: HostileBody, ms: number) {
  const { hostname, port } = new URL(world.stack.url);
  const socket = connect(Number(port), hostname).on('error', () => {});
  const lines = Object.entries({ ...headers, [ADDRESS_HEADER]: CLIENT }).map(
    ([key, value]) => `${key}: ${value}\r\n`,
  );
  const head = `POST ${path} HTTP/1.1\r\nhost: x\r\ncontent-length: ${body.length}\r\n${lines.join('')}\r\n`;
  await new Promise<void>((resolve) => {
    socket.write(Buffer.concat([Buffer.from(head), body]), () => resolve());
  });
  await delay(ms);
  socket.resetAndDestroy();
}

export const HOSTILE_SCENARIOS: readonly FaultScenario[] = [
  hostile(
    'texts',
    '4 connections of one client with small requests that are dear to read',
    (world) => attack(world, 4, (connection, sent) => pick(HOSTILE_TEXTS, connection + sent)),
  ),
  hostile('claims', '26 clients with 46 bytes each that claim to be 10,000 values', (world) =>
    attack(world, 26, (connection, sent) => ({
      ...pick(HOSTILE_CLAIMS, sent),
      client: `198.51.100.${connection}`,
    })),
  ),
  hostile(
    'floods',
    '300 connections of one client with 103 bytes each that are nearly dear to read',
    (world) => attack(world, 300, () => HOSTILE_FLOOD),
  ),
  hostile(
    'images',
    '2 connections of one client with images made to keep decoders busy',
    async (world) => {
      const images = await hostileImages();
      await attack(world, 2, (connection, sent) => {
        const { type, make } = pick(images, 3 * connection + sent);
        return { path: '/v1/captions', headers: { 'content-type': type }, body: make() };
      });
    },
  ),
  hostile('resets', '300 connections that are reset amid their request', async (world) => {
    for (let i = 0; i < 300; i++) {
      await resetAfter(world, resetRequest(world, i), world.random.below(40));
    }
  }),
];

const LONG_STREAM = { stream: true, max_tokens: 90, repetition_penalty: 3 };

function resetRequest(world: World, index: number): HostileBody {
  if (index % 2 === 0) return pick(HOSTILE_TEXTS, index / 2);
  const image = { sha256: world.random.pick(world.scenes).sha256 };
  const body = Buffer.from(JSON.stringify({ image, ...LONG_STREAM }));
  return { path: '/v1/captions', headers: { 'content-type': 'application/json' }, body };
}

function pick<T>(items: readonly T[], index: number): T {
  return items[index % items.length] as T;
}
