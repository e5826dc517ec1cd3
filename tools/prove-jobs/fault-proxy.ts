/** A proxy of HTTP that does wrong on purpose to some of what passes: it fails a request, loses its reply, or sends it twice. */
import { once } from 'node:events';
import {
  createServer,
  type IncomingMessage,
  type OutgoingHttpHeaders,
  type RequestOptions,
  request,
  type Server,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo } from 'node:net';

/** `failed`: refused with 503 before it gets there; `throttled`: as SQS or S3 say that there are too many; `lost`: it gets there, and its reply does not come back; `entries-failed`: SQS says so of each entry of a batch. */
export type Fault = 'failed' | 'throttled' | 'entries-failed' | 'lost' | 'twice';

export type FaultProxyOptions = {
  /** What is done to a request; null lets it pass. */
  faultOf: (request: { method: string; path: string }) => Fault | null;
  /** Gets what a request that was let through or sent twice said, and what came back. */
  onReply?: (path: string, request: string, reply: string) => void;
};

const AT_ONCE = { 'retry-after': '0' };
const THROTTLED = {
  sqs: {
    status: 400,
    headers: {
      ...AT_ONCE,
      'content-type': 'application/x-amz-json-1.0',
      'x-amzn-query-error': 'RequestThrottled;Sender',
    },
    body: JSON.stringify({
      __type: 'com.amazonaws.sqs#RequestThrottled',
      message: 'Rate exceeded',
    }),
  },
  s3: {
    status: 503,
    headers: { ...AT_ONCE, 'content-type': 'application/xml' },
    body: '<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>',
  },
};

/** @example await using proxy = await FaultProxy.start('http://127.0.0.1:8787', { faultOf: () => 'lost' }); */
export class FaultProxy implements AsyncDisposable {
  readonly #server: Server;
  readonly #target: string;
  readonly #options: FaultProxyOptions;

  private constructor(target: string, options: FaultProxyOptions) {
    this.#target = target;
    this.#options = options;
    this.#server = createServer((incoming, response) => {
      // Whoever is behind it may be gone: then so is the connection.
      this.#pass(incoming, response).catch(() => response.destroy());
    });
  }

  /** @param target base URL of what requests are passed on to */
  static async start(target: string, options: FaultProxyOptions): Promise<FaultProxy> {
    const proxy = new FaultProxy(target, options);
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    return proxy;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  async #pass(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = 'GET', url: path = '/', headers } = incoming;
    const body = Buffer.concat(await Array.fromAsync(incoming));
    const fault = this.#options.faultOf({ method, path });
    if (fault === 'failed') {
      response.writeHead(503).end();
      return;
    }
    if (fault === 'throttled') {
      const {
        status,
        headers: said,
        body: text,
      } = THROTTLED['x-amz-target' in headers ? 'sqs' : 's3'];
      response.writeHead(status, said).end(text);
      return;
    }
    if (fault === 'entries-failed') {
      const { Entries } = JSON.parse(body.toString()) as { Entries: { Id: string }[] };
      const Failed = Entries.map(({ Id }) => ({ Id, Code: 'InternalError', SenderFault: false }));
      response.writeHead(200, { 'content-type': 'application/x-amz-json-1.0' });
      response.end(JSON.stringify({ Successful: [], Failed }));
      return;
    }
    const send = () => exchange(`${this.#target}${path}`, { method, headers }, body);
    if (fault === 'twice') await send();
    const reply = await send();
    if (fault === 'lost') {
      response.destroy();
      return;
    }
    this.#options.onReply?.(path, body.toString(), reply.body.toString());
    response.writeHead(reply.status, reply.headers).end(reply.body);
  }
}

type Reply = { status: number; headers: OutgoingHttpHeaders; body: Buffer };

/** By Node's own client: tests watch what they fetch themselves. */
async function exchange(url: string, options: RequestOptions, body: Buffer): Promise<Reply> {
  const outgoing = request(url, options);
  outgoing.end(body);
  const [incoming] = (await once(outgoing, 'response')) as [IncomingMessage];
  const { statusCode: status = 502, headers } = incoming;
  // Its body is whole here, and has a length.
  const { 'transfer-encoding': _, connection: __, ...others } = headers;
  return { status, headers: others, body: Buffer.concat(await Array.fromAsync(incoming)) };
}
