/** One request to a host of which nothing is known: what it may send before its reply has bounds. */
import {
  request as httpRequest,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type RequestOptions,
} from 'node:http';
import { request as httpsRequest } from 'node:https';
import { isIPv6, type LookupFunction, type TcpSocketConnectOpts } from 'node:net';
import type { Readable } from 'node:stream';
import { createSecureContext, getCACertificates, type SecureContext } from 'node:tls';
import { HostFailure, type HostFailureReason } from '../../edge/src/image/host-failure.ts';
import { addressesOf, type ResolveOptions } from './resolve.ts';

export type HostRequest = {
  url: URL;
  method: string;
  headers: IncomingHttpHeaders;
  body: Readable;
  /** Ends the connection. */
  signal: AbortSignal;
};

/** Of one reply; more ends the connection. */
export const MAX_HEADER_BYTES = 16_384;
/** Replies before the reply (103 Early Hints, for one); each may have as many bytes of headers. */
export const MAX_INFORMATION = 8;
/** Longer than the edge waits for anything. */
const IDLE_MS = 30_000;
/** Pieces of a body that may be of any size, and how many bytes each of those beyond has on average at least. */
export const SMALL_PIECES = 4096;
const MIN_PIECE_BYTES = 64;
/** For one of several addresses: Node's quarter of a second is short for a host that is far away. */
const ATTEMPT_MS = 1000;

/** What is handed on to the connection. */
type ConnectOptions = Pick<TcpSocketConnectOpts, 'autoSelectFamilyAttemptTimeout'> & {
  secureContext?: SecureContext;
};

/**
 * Connects to an address that was looked up and checked once, and follows no redirects.
 * @returns status, headers and body as the host sends them
 * @throws HostFailure
 */
export async function reachHost(
  { url, method, headers, body, signal }: HostRequest,
  options: ResolveOptions,
): Promise<IncomingMessage> {
  const addresses = await addressesOf(url.hostname, options, signal);
  const isSecure = url.protocol === 'https:';
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const settings: RequestOptions & ConnectOptions = {
    method,
    headers,
    signal,
    // A connection of its own, which ends with the reply.
    agent: false,
    maxHeaderSize: MAX_HEADER_BYTES,
    timeout: IDLE_MS,
    lookup: only(addresses),
    autoSelectFamilyAttemptTimeout: ATTEMPT_MS,
    ...(isSecure && { secureContext: trusting() }),
  };
  const request = (isSecure ? httpsRequest : httpRequest)(url, settings);
  let reason: HostFailureReason = 'lost';
  request.once('socket', (socket) => {
    if (!isSecure) return;
    socket.once('connect', () => {
      reason = 'insecure';
    });
    socket.once('secureConnect', () => {
      reason = 'lost';
    });
  });
  let informed = 0;
  request.on('information', () => {
    if (++informed > MAX_INFORMATION) request.destroy(new Error('It sends no end of 1xx.'));
  });
  request.once('timeout', () => request.destroy(new Error('It stands still.')));
  // Not once: there may be a second one, which nobody has to know.
  request.on('error', (cause: NodeJS.ErrnoException) => {
    reject(new HostFailure(ENDED.has(cause.code ?? '') ? 'lost' : reason, cause));
  });
  request.once('close', () => reject(new HostFailure('lost')));
  request.once('response', (response) => {
    // 101 without a protocol reads as a reply.
    if ((response.statusCode ?? 0) >= 200) resolve(inPieces(response));
    else request.destroy(new Error('It switches protocols.'));
  });
  body.pipe(request);
  return await promise;
}

/**
 * Ends a reply whose chunks, or records of TLS, are tiny: one byte each takes a hundred times as long as it should,
 * and everybody else's hosts wait for what one read of a connection takes.
 */
function inPieces(reply: IncomingMessage): IncomingMessage {
  let [pieces, bytes] = [0, 0];
  const push = reply.push.bind(reply);
  reply.push = (piece, encoding) => {
    // What is left of a read is passed over.
    if (reply.destroyed) return false;
    bytes += piece?.length ?? 0;
    const isTiny = ++pieces > SMALL_PIECES + bytes / MIN_PIECE_BYTES;
    if (isTiny) reply.destroy(new Error('It sends its body in tiny pieces.'));
    return push(piece, encoding);
  };
  return reply;
}

/** Errors of connections, which say nothing of TLS. */
const ENDED = new Set(['ECONNRESET', 'EPIPE', 'ETIMEDOUT']);

function only(addresses: readonly string[]): LookupFunction {
  const all = addresses.map((address) => ({ address, family: isIPv6(address) ? 6 : 4 }));
  const [first] = all;
  return (_name, { all: wantsAll }, found) => {
    if (wantsAll) found(null, all);
    else found(null, first?.address ?? '', first?.family);
  };
}

let trusted: SecureContext | undefined;

/** What Node trusts, with `NODE_EXTRA_CA_CERTS`, and what the system does. Made once: it takes 60 ms. */
function trusting(): SecureContext {
  trusted ??= createSecureContext({
    ca: [...new Set([...getCACertificates('default'), ...getCACertificates('system')])],
  });
  return trusted;
}
