/** A collector of OpenTelemetry for tests: receives spans as JSON over HTTP. */
import { EventEmitter, once } from 'node:events';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { json } from 'node:stream/consumers';

export type Span = {
  traceId: string;
  spanId: string;
  parentSpanId: string | undefined;
  name: string;
  kind: number;
  /** Nanoseconds since the epoch. */
  start: bigint;
  end: bigint;
  attributes: Record<string, unknown>;
  isError: boolean;
  /** Spans of other traces that it comes of. */
  links: { traceId: string; spanId: string }[];
  resource: Record<string, unknown>;
};

type Attribute = { key: string; value: Record<string, unknown> };
type Otlp = {
  resourceSpans: {
    resource: { attributes: Attribute[] };
    scopeSpans: { spans: OtlpSpan[] }[];
  }[];
};
type OtlpSpan = {
  traceId: string;
  spanId: string;
  parentSpanId?: string;
  name: string;
  kind: number;
  startTimeUnixNano: string;
  endTimeUnixNano: string;
  attributes: Attribute[];
  links?: { traceId: string; spanId: string }[];
  status: { code?: number };
};

export class Collector implements AsyncDisposable {
  /** All that came, in their order. */
  readonly spans: Span[] = [];
  /** Of the last batch. */
  headers: IncomingHttpHeaders = {};
  /** Its answer; null where none comes. */
  status: number | null = 200;
  url = '';
  readonly #events = new EventEmitter();
  readonly #server = createServer(async (request, response) => {
    const { resourceSpans } = (await json(request)) as Otlp;
    this.headers = request.headers;
    if (this.status === 200 && request.url === '/v1/traces') {
      for (const { resource, scopeSpans } of resourceSpans) {
        const shared = valuesOf(resource.attributes);
        for (const { spans } of scopeSpans) {
          this.spans.push(...spans.map((span) => spanOf(span, shared)));
        }
      }
    }
    if (this.status !== null) response.writeHead(this.status).end('{}');
    this.#events.emit('batch');
  });

  static async start(): Promise<Collector> {
    const collector = new Collector();
    collector.#server.listen(0, '127.0.0.1');
    await once(collector.#server, 'listening');
    const { port } = collector.#server.address() as AddressInfo;
    collector.url = `http://127.0.0.1:${port}`;
    return collector;
  }

  /** The next batch that comes. */
  async nextBatch(): Promise<void> {
    await once(this.#events, 'batch');
  }

  /** Spans of a trace, the first to begin first, and of those that begin together the longest, as soon as all these names have come. */
  async trace(traceId: string, names: readonly string[]): Promise<Span[]> {
    const own = () => this.spans.filter((span) => span.traceId === traceId);
    const hasAll = () => names.every((name) => own().some((span) => span.name === name));
    while (!hasAll()) await this.nextBatch();
    return own().sort((a, b) => Number(a.start - b.start || b.end - a.end));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }
}

function spanOf(span: OtlpSpan, resource: Span['resource']): Span {
  const { traceId, spanId, parentSpanId, name, kind, attributes, status } = span;
  return {
    ...{ traceId, spanId, parentSpanId, name, kind, resource },
    start: BigInt(span.startTimeUnixNano),
    end: BigInt(span.endTimeUnixNano),
    attributes: valuesOf(attributes),
    isError: status.code === 2,
    links: (span.links ?? []).map(({ traceId, spanId }) => ({ traceId, spanId })),
  };
}

function valuesOf(attributes: readonly Attribute[]): Record<string, unknown> {
  return Object.fromEntries(attributes.map(({ key, value }) => [key, Object.values(value)[0]]));
}
