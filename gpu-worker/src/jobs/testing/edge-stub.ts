/** For tests: what workers ask of the edge, over HTTP, with every signature checked. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  BeginRequest,
  type CommitReply,
  CommitRequest,
  type ItemOutcome,
  SOURCE_FAILURES_HEADER,
} from '@blip2/shared/jobs/commit';
import { isSigned, SIGNATURE_HEADER } from '@blip2/shared/jobs/signature';

export const SECRET = 'a secret of workers with more than 32 characters';

/** What the stub does with a commit instead of taking it: an answer, or taking it and losing the reply. */
export type CommitFault = number | 'lost';

export class EdgeStub {
  /** Outcomes that were taken, by item: the first wins. */
  readonly taken = new Map<number, ItemOutcome>();
  /** Items of each commit that came, with those that were not taken. */
  readonly commits: number[][] = [];
  duplicates = 0;
  /** Requests whose signature was wrong. */
  unsigned = 0;
  state: CommitReply['state'] = 'running';
  /** Asked for each commit, in order; null takes it. */
  fault: (items: number[]) => CommitFault | null = () => null;
  /** Frame of an item's source, or the status that is answered instead. */
  source: (item: number) => Uint8Array | number | Promise<number> = () => 410;
  /** What is served as if by the bucket, at `/bucket/NAME`. */
  readonly bucket = new Map<string, Uint8Array>();
  /** How often it says that it had no source before. */
  sourceFailures = 0;
  readonly sourcesAsked: number[] = [];
  /** Items that a worker was about to run alone. */
  readonly begun: number[] = [];
  /** Of each time that one asked. */
  readonly attempts: string[] = [];
  /** What is answered then. */
  beginStatus: (item: number) => CommitFault = () => 204;
  /** Whether connections are cut; how many were. */
  isAway = false;
  cut = 0;
  readonly #server = createServer((request, response) => {
    void this.#answer(request, response);
  });

  static async start(): Promise<EdgeStub> {
    const stub = new EdgeStub();
    stub.#server.listen(0, '127.0.0.1');
    await once(stub.#server, 'listening');
    return stub;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (this.isAway) {
      this.cut++;
      response.destroy();
      return;
    }
    const { method = '', url: path = '' } = request;
    const body = new Uint8Array(Buffer.concat(await Array.fromAsync(request)));
    if (path.startsWith('/bucket/')) {
      const bytes = this.bucket.get(path.slice(8));
      response.writeHead(bytes === undefined ? 403 : 200).end(bytes);
      return;
    }
    const header = request.headers[SIGNATURE_HEADER];
    const signed = { method, path, body };
    if (!(await isSigned([SECRET], signed, String(header), Date.now()))) {
      this.unsigned++;
      response.writeHead(401).end();
      return;
    }
    const [, alone] = /\/items\/(\d+)\/begin$/.exec(path) ?? [];
    if (alone !== undefined) {
      this.begun.push(Number(alone));
      this.attempts.push(BeginRequest.parse(JSON.parse(String(Buffer.from(body)))).attempt);
      const status = this.beginStatus(Number(alone));
      if (status === 'lost') response.destroy();
      else response.writeHead(status).end();
      return;
    }
    const [, item] = /\/items\/(\d+)\/source$/.exec(path) ?? [];
    if (item === undefined)
      this.#commit(CommitRequest.parse(JSON.parse(String(Buffer.from(body)))), response);
    else await this.#source(Number(item), response);
  }

  async #source(item: number, response: ServerResponse): Promise<void> {
    this.sourcesAsked.push(item);
    const source = await this.source(item);
    const headers = { [SOURCE_FAILURES_HEADER]: String(this.sourceFailures) };
    if (typeof source === 'number') response.writeHead(source, headers).end();
    else response.writeHead(200, headers).end(source);
  }

  #commit({ results }: CommitRequest, response: ServerResponse): void {
    const items = results.map(({ item }) => item);
    this.commits.push(items);
    const fault = this.fault(items);
    if (typeof fault === 'number') {
      response.writeHead(fault).end();
      return;
    }
    let fresh = 0;
    for (const { item, outcome } of results) {
      if (this.taken.has(item)) continue;
      this.taken.set(item, outcome);
      fresh++;
    }
    const duplicates = results.length - fresh;
    this.duplicates += duplicates;
    if (fault === 'lost') {
      response.destroy();
      return;
    }
    const reply: CommitReply = { fresh, duplicates, state: this.state };
    response.writeHead(200).end(JSON.stringify(reply));
  }
}
