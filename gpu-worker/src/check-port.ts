/** Finds out whether an address can be listened on, before minutes go into what would listen there. */
import { once } from 'node:events';
import { type AddressInfo, createServer, isIPv6 } from 'node:net';

export type Address = { host: string; port: number };

/** What the address comes from, and how to recognize one of ours that listens there already. */
export type AddressOptions = {
  /** Variables by which people choose another. */
  variables: Record<keyof Address, string>;
  /** What answers at this URL, in a few words; null when it is none of ours. */
  nameOccupant?: (url: string) => Promise<string | null>;
};

const HIGHEST_PORT = 65_535;

/**
 * The port, once it is known to be free.
 * @param address port 0 takes any free one
 * @throws Error that says who has the port where that is one of ours, and which variable to set
 */
export async function freePort(address: Address, options: AddressOptions): Promise<number> {
  const { host, port } = address;
  const server = createServer().listen(port, host);
  try {
    await once(server, 'listening');
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new Error(await explain(address, code ?? String(cause), options), { cause });
  }
  const bound = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return bound.port;
}

async function explain(
  address: Address,
  code: string,
  { variables, nameOccupant = async () => null }: AddressOptions,
): Promise<string> {
  const { host, port } = address;
  if (code === 'EADDRINUSE') {
    const url = urlOf(address);
    const occupant = await nameOccupant(url);
    const another = `${variables.port}=${port < HIGHEST_PORT ? port + 1 : 0}`;
    if (occupant === null) return `Port ${port} is taken. Choose another: ${another}`;
    return `${occupant} is already running at ${url}. Use it, stop it, or choose another port: ${another}`;
  }
  if (code === 'EACCES') {
    return `Port ${port} needs more rights than this user has. Choose one above 1023: ${variables.port}=8080`;
  }
  if (code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND' || code === 'EAI_AGAIN') {
    return `${variables.host}=${host} is no address of this machine: 127.0.0.1 is for this machine alone, 0.0.0.0 for every network it is in.`;
  }
  return `Nothing can listen on ${host}, port ${port}: ${code}`;
}

/** How this machine reaches what listens on an address. @example urlOf({ host: '::', port: 80 }) // 'http://[::1]:80' */
export function urlOf({ host, port }: Address): string {
  const reachable = { '0.0.0.0': '127.0.0.1', '::': '::1' }[host] ?? host;
  return `http://${isIPv6(reachable) ? `[${reachable}]` : reachable}:${port}`;
}

/** Whether only this machine reaches what listens on an address. @example isLoopback('127.0.0.1') // true */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);
}
