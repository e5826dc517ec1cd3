/** Connections that are slow, cut or half open, between edge and GPU worker and between callers and edge. */
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { FaultScenario } from '../scenario.ts';
import type { Toxic, ToxicProxy } from '../toxics.ts';
import type { World } from '../world.ts';

const TOXIC_MS = 5000;

type Place = 'link' | 'front';
const BETWEEN: Record<Place, string> = {
  link: 'edge and GPU worker',
  front: 'callers and edge',
};

/** Of these, the one that every run of the tests has. */
const SHORT = 'link-reset';

function toxic(place: Place, kind: string, what: string, treatment: Toxic): FaultScenario {
  const name = `${place}-${kind}`;
  return {
    kind: 'fault',
    name,
    about: `${what} between ${BETWEEN[place]}, for 5 s`,
    ...(name === SHORT && { isShort: true }),
    run: async (world) => {
      const proxy: ToxicProxy = world[place];
      proxy.toxic = treatment;
      await delay(TOXIC_MS);
      proxy.toxic = null;
      // What has been swallowed never comes: a network that is mended resets such connections.
      if (treatment.kind === 'timeout') proxy.cut();
      world.faulted();
    },
  };
}

const places: readonly Place[] = ['link', 'front'];

/** Sends a request, or half of one, and hands over its connection. */
async function open(world: World, request: string): Promise<ReturnType<typeof connect>> {
  const { hostname, port } = new URL(world.stack.url);
  const socket = connect(Number(port), hostname).on('error', () => {});
  socket.pause();
  await new Promise<void>((resolve) => socket.write(request, () => resolve()));
  return socket;
}

function streamRequest(world: World): string {
  const { sha256 } = world.random.pick(world.scenes);
  const body = JSON.stringify({
    image: { sha256 },
    stream: true,
    max_tokens: 90,
    repetition_penalty: 3,
    top_logprobs: 5,
    logprobs: true,
  });
  return `POST /v1/captions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
}

/** Each sends what makes it hold something, and is gone before it has an answer. */
const vanished: FaultScenario = {
  kind: 'fault',
  name: 'clients-vanished',
  about: '100 callers that leave amid their uploads and streams',
  isShort: true,
  run: async (world) => {
    for (let i = 0; i < 100; i++) {
      const half =
        'POST /v1/captions HTTP/1.1\r\nhost: x\r\ncontent-type: image/png\r\ncontent-length: 99999\r\n\r\nhalf';
      const socket = await open(world, i % 2 === 0 ? streamRequest(world) : half);
      await delay(world.random.below(20));
      if (i % 3 === 0) socket.resetAndDestroy();
      else socket.destroy();
    }
    world.faulted();
  },
};

const stalled: FaultScenario = {
  kind: 'fault',
  name: 'readers-stalled',
  about: '30 callers that ask for a stream and never read it, for 10 s',
  run: async (world) => {
    const sockets = await Promise.all(
      Array.from({ length: 30 }, () => open(world, streamRequest(world))),
    );
    await delay(10_000);
    for (const socket of sockets) socket.destroy();
    world.faulted();
  },
};

export const NETWORK_SCENARIOS: readonly FaultScenario[] = [
  ...places.flatMap((place) => [
    toxic(place, 'slow', '300 ms of latency', { kind: 'latency', ms: 300 }),
    toxic(place, 'narrow', '20 kB/s', { kind: 'bandwidth', bytesPerSecond: 20_000 }),
    toxic(place, 'closing-late', 'connections close 2 s late', { kind: 'slow_close', ms: 2000 }),
    toxic(place, 'cut', 'closes after 1000 bytes of reply', { kind: 'limit_data', bytes: 1000 }),
    toxic(place, 'reset', 'resets after 1000 bytes of reply', { kind: 'reset_peer', bytes: 1000 }),
    toxic(place, 'half-open', 'everything is swallowed', { kind: 'timeout' }),
  ]),
  stalled,
  vanished,
];
