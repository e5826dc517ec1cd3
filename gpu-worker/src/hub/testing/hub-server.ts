/** A hub on this machine, for tests: the API on one port, the large files' storage on another. */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { dirname, join, relative } from 'node:path';

export const COMMIT = 'c0ffee'.padEnd(40, '0');
export const MODEL = 'tests/tiny-blip2';

/** A request as a server got it. */
export type HubRequest = {
  server: 'hub' | 'storage';
  path: string;
  range: string | undefined;
  authorization: string | undefined;
  /** `Accept-Encoding` */
  encoding: string | string[] | undefined;
};

/** Answers instead of the server when it returns true; may look at what came before. */
export type Intercept = (
  request: HubRequest,
  response: ServerResponse,
  bytes: Buffer | undefined,
) => boolean;

const PAGE_SIZE = 4;

export class HubServer implements AsyncDisposable {
  readonly files = new Map<string, Buffer>();
  readonly requests: HubRequest[] = [];
  readonly revisions = new Map([['main', COMMIT]]);
  /** The commit that has the files. */
  commit = COMMIT;
  /** Where set, the only token that is let in. */
  token: string | undefined;
  intercept: Intercept = () => false;
  #hub: Server;
  #storage: Server;

  private constructor() {
    this.#hub = createServer((request, response) => this.#answer('hub', request, response));
    this.#storage = createServer((request, response) => this.#answer('storage', request, response));
  }

  /** @param folder whose files the model has */
  static async start(folder: string): Promise<HubServer> {
    const server = new HubServer();
    for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
      const path = join(entry.parentPath, entry.name);
      if (!entry.isDirectory()) server.files.set(relative(folder, path), readFileSync(path));
    }
    for (const each of [server.#hub, server.#storage]) {
      each.listen(0, '127.0.0.1');
      await once(each, 'listening');
    }
    return server;
  }

  get endpoint(): string {
    return urlOf(this.#hub);
  }

  /** Paths of the files that were asked for, in order. */
  get downloads(): string[] {
    return this.requests
      .filter(({ server, path }) => server === 'hub' && path.includes('/resolve/'))
      .map(({ path }) => path.split(`/resolve/${this.commit}/`).at(-1)!);
  }

  /** Digest that the hub lists for a file, which is also its entity tag. */
  digestOf(name: string): string {
    const bytes = this.files.get(name)!;
    return isLarge(name) ? sha256(bytes) : gitId(bytes);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const server of [this.#hub, this.#storage]) {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    }
  }

  #answer(server: HubRequest['server'], request: IncomingMessage, response: ServerResponse): void {
    const url = new URL(request.url ?? '/', this.endpoint);
    const { range, authorization } = request.headers;
    const encoding = request.headers['accept-encoding'];
    const received = { server, path: url.pathname, range, authorization, encoding };
    this.requests.push(received);
    const name = nameIn(url.pathname);
    if (this.intercept(received, response, this.files.get(name))) return;
    if (server === 'storage') {
      this.#sendFile(name, range, response);
      return;
    }
    if (this.token !== undefined && authorization !== `Bearer ${this.token}`) {
      problem(response, 401, 'RepoNotFound');
      return;
    }
    const [, revision] =
      /^\/api\/models\/tests\/tiny-blip2\/revision\/(.+)$/.exec(url.pathname) ?? [];
    if (revision !== undefined) this.#sendRevision(decodeURIComponent(revision), response);
    else if (url.pathname.startsWith(`/api/models/${MODEL}/tree/${this.commit}`))
      this.#sendTree(url, response);
    else if (url.pathname.startsWith(`/${MODEL}/resolve/${this.commit}/`))
      this.#resolve(name, range, response);
    else problem(response, 404, 'RepoNotFound');
  }

  #sendRevision(revision: string, response: ServerResponse): void {
    const sha =
      this.revisions.get(revision) ?? (revision === this.commit ? this.commit : undefined);
    if (sha === undefined) problem(response, 404, 'RevisionNotFound');
    else
      json(response, {
        id: MODEL,
        sha,
        siblings: [...this.files.keys()].map((rfilename) => ({ rfilename })),
      });
  }

  /** A few entries of a folder a page, the address of the next in `Link`. */
  #sendTree(url: URL, response: ServerResponse): void {
    const from = Number(url.searchParams.get('cursor') ?? 0);
    const folder = url.pathname.split(`/tree/${this.commit}`)[1]!.slice(1);
    const folders = [...this.files.keys()].filter((path) => path.includes('/')).map(dirname);
    const names = folder === '' ? ['runs', ...new Set(folders)] : [];
    const entries = names.map((path) => {
      return { type: 'directory', path, oid: 'd'.repeat(40), size: 0 };
    });
    const inFolder = ([path]: [string, Buffer]) => dirname(path) === (folder === '' ? '.' : folder);
    const files = [...this.files].filter(inFolder).map(([path, bytes]) => ({
      type: 'file',
      path,
      size: bytes.length,
      oid: gitId(bytes),
      ...(isLarge(path)
        ? { lfs: { oid: sha256(bytes), size: bytes.length, pointerSize: 134 } }
        : {}),
    }));
    const all = [...entries, ...files];
    const to = from + PAGE_SIZE;
    const next = `${this.endpoint}${url.pathname}?cursor=${to}`;
    if (to < all.length) response.setHeader('link', `<${next}>; rel="next"`);
    json(response, all.slice(from, to));
  }

  #resolve(name: string, range: string | undefined, response: ServerResponse): void {
    const bytes = this.files.get(name);
    response.setHeader('x-repo-commit', this.commit);
    if (bytes === undefined) {
      problem(response, 404, 'EntryNotFound');
    } else if (isLarge(name)) {
      response.setHeader('x-linked-etag', `"${sha256(bytes)}"`);
      response.setHeader('x-linked-size', bytes.length);
      response
        .writeHead(302, { location: `${urlOf(this.#storage)}/bucket/${name}?signature=s` })
        .end();
    } else {
      this.#sendFile(name, range, response);
    }
  }

  #sendFile(name: string, range: string | undefined, response: ServerResponse): void {
    const bytes = this.files.get(name)!;
    const from = Number(/^bytes=(\d+)-$/.exec(range ?? '')?.[1] ?? 0);
    response.setHeader('etag', `"${this.digestOf(name)}"`);
    if (range === undefined) {
      response.writeHead(200, { 'content-length': bytes.length }).end(bytes);
    } else if (from >= bytes.length) {
      response.writeHead(416, { 'content-range': `bytes */${bytes.length}` }).end();
    } else {
      const part = bytes.subarray(from);
      const headers = {
        'content-length': part.length,
        'content-range': `bytes ${from}-${bytes.length - 1}/${bytes.length}`,
      };
      response.writeHead(206, headers).end(part);
    }
  }
}

/** The file's path in the repository, or what stands last. */
function nameIn(pathname: string): string {
  const [, path] = /\/(?:resolve\/[^/]+|bucket)\/(.+)$/.exec(pathname) ?? [];
  return path ?? pathname.split('/').at(-1)!;
}

function urlOf(server: Server): string {
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function json(response: ServerResponse, body: unknown): void {
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

function problem(response: ServerResponse, status: number, code: string): void {
  response.writeHead(status, { 'x-error-code': code, 'content-type': 'application/json' });
  response.end(JSON.stringify({ error: code }));
}

function isLarge(path: string): boolean {
  return /\.(safetensors|bin|pth)$/.test(path);
}

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

function gitId(bytes: Buffer): string {
  return createHash('sha1').update(`blob ${bytes.length}\0`).update(bytes).digest('hex');
}
