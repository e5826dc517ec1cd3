/** Resolves names of hosts to the addresses that may be connected to. */
import { lookup, Resolver } from 'node:dns/promises';
import { readFile, stat } from 'node:fs/promises';
import { isIP } from 'node:net';
import { HostFailure } from '../../edge/src/image/host-failure.ts';
import { isPublicAddress } from '../../edge/src/image/public-address.ts';

/** Addresses of a name. @throws where it has none */
type LookUp = (name: string, signal: AbortSignal) => Promise<readonly string[]>;

export type ResolveOptions = {
  /** Whether addresses that are not public may be connected to, too. */
  allowPrivate: boolean;
  lookUp?: LookUp | undefined;
};

/**
 * @param hostname as `URL` has it
 * @param signal aborted when nobody waits for them any more
 * @returns one address or more
 * @throws HostFailure `no-address`
 */
export async function addressesOf(
  hostname: string,
  { allowPrivate, lookUp = allowPrivate ? inSystem : publicly }: ResolveOptions,
  signal: AbortSignal,
): Promise<string[]> {
  const name = hostname.replace(/^\[(.*)\]$/, '$1');
  const found = isIP(name) === 0 ? await lookUp(name, signal).catch(noAddress) : [name];
  const allowed = found.filter((address) => allowPrivate || isPublicAddress(address));
  return allowed.length > 0 ? allowed : noAddress();
}

function noAddress(cause?: unknown): never {
  throw new HostFailure('no-address', cause);
}

/** By all that the system asks, as names of one's own network need. It takes a thread of a few for as long as a name server lets it wait. */
async function inSystem(name: string): Promise<string[]> {
  const found = await lookup(name, { all: true });
  return found.map(({ address }) => address);
}

/** Long enough for two name servers, within the five seconds that an image has. */
const DNS = { timeout: 2000, tries: 2 };

/** By the file of hosts and DNS alone, without threads: names whose servers do not answer keep nobody else's waiting. */
async function publicly(name: string, signal: AbortSignal): Promise<readonly string[]> {
  const own = (await hosts.read()).get(name.replace(/\.$/, ''));
  return own ?? (await inDns(name, signal));
}

/** @param servers those of the system where none are given */
export async function inDns(
  name: string,
  signal: AbortSignal,
  servers?: readonly string[],
): Promise<string[]> {
  // The system's may be others since the last look-up.
  const resolver = new Resolver(DNS);
  if (servers !== undefined) resolver.setServers(servers);
  const stop = () => resolver.cancel();
  signal.addEventListener('abort', stop);
  try {
    signal.throwIfAborted();
    const asked = [resolver.resolve4(name), resolver.resolve6(name)];
    const replies = await Promise.allSettled(asked);
    return replies.flatMap((reply) => (reply.status === 'fulfilled' ? reply.value : []));
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

const HOSTS_FILE =
  process.platform === 'win32' ? 'C:\\Windows\\System32\\drivers\\etc\\hosts' : '/etc/hosts';

class HostsFile {
  readonly #path: string;
  #version = '';
  #addresses = new Map<string, string[]>();

  constructor(path: string) {
    this.#path = path;
  }

  /** Addresses by names; read again where it has changed. */
  async read(): Promise<ReadonlyMap<string, string[]>> {
    const found = await stat(this.#path).catch(() => null);
    const version = found === null ? '' : `${found.ino} ${found.size} ${found.mtimeMs}`;
    if (version !== this.#version) {
      this.#addresses = parseHosts(await readFile(this.#path, 'utf8').catch(() => ''));
      this.#version = version;
    }
    return this.#addresses;
  }
}

const hosts = new HostsFile(HOSTS_FILE);

/** @example parseHosts('192.0.2.1 a.example b.example # ours').get('b.example') // ['192.0.2.1'] */
export function parseHosts(text: string): Map<string, string[]> {
  const addresses = new Map<string, string[]>();
  for (const line of text.split('\n')) {
    const [address = '', ...names] = (line.split('#', 1)[0] ?? '').split(/\s+/).filter(Boolean);
    if (isIP(address) === 0) continue;
    for (const name of names.map((each) => each.toLowerCase())) {
      addresses.set(name, [...(addresses.get(name) ?? []), address]);
    }
  }
  return addresses;
}
