/** The hub's protocol: which commit a revision is, which files it has, the bytes of one of them. */
import * as z from 'zod/mini';
import { HubError, InterruptedError } from './errors.ts';
import { connectionError, errorOfResponse } from './http-errors.ts';
import type { ModelId } from './model-id.ts';
import type { fetchThrough } from './proxy.ts';
import { type RetryOptions, retrying } from './retry.ts';
import type { Token } from './token.ts';

/** A file of a commit. */
export type HubFile = {
  path: string;
  /** Bytes. */
  size: number;
  /** Large files go by the SHA-256 of their bytes, the others by the id that git gives them. */
  digest: { algorithm: 'sha256' | 'git-sha1'; hex: string };
};

const Revision = z.object({ sha: z.string().check(z.regex(/^[0-9a-f]{40}$/)) });

const Tree = z.array(
  z.object({
    type: z.string(),
    path: z.string(),
    size: z.optional(z.int()),
    oid: z.string(),
    lfs: z.optional(z.object({ oid: z.string().check(z.regex(/^[0-9a-f]{64}$/)), size: z.int() })),
  }),
);

type Tree = z.infer<typeof Tree>;

/** What a checkpoint may have beside its own files: the tokenizer of InstructBLIP's Q-Former. */
const FOLDERS = ['qformer_tokenizer'];

function filesOf({ type, path, size = 0, oid, lfs }: Tree[number]): HubFile[] {
  if (type !== 'file') return [];
  return lfs === undefined
    ? [{ path, size, digest: { algorithm: 'git-sha1', hex: oid } }]
    : [{ path, size: lfs.size, digest: { algorithm: 'sha256', hex: lfs.oid } }];
}

/** A reply, and the address of the one that goes on from it. */
type Page<T> = { body: T; next?: string };

const REDIRECTS = [301, 302, 303, 307, 308];
const MOST_REDIRECTS = 10;
const METADATA_TIMEOUT_MS = 30_000;

export class HubClient {
  readonly #model: ModelId;
  readonly #token: Token | undefined;
  readonly #retry: RetryOptions;
  readonly #fetch: ReturnType<typeof fetchThrough>;

  /** @param token sent to the origin of the model's hub and to no other, wherever that redirects to */
  constructor(
    model: ModelId,
    token: Token | undefined,
    retry: RetryOptions,
    fetch: ReturnType<typeof fetchThrough>,
  ) {
    this.#model = model;
    this.#token = token;
    this.#retry = retry;
    this.#fetch = fetch;
  }

  /**
   * The commit that the revision is now.
   * @throws HubError when the model or the revision is not there, or not for this token
   */
  async commit(): Promise<string> {
    const { id, revision } = this.#model;
    const url = this.#api(`${id}/revision/${encodeURIComponent(revision)}`);
    return (await this.#json(url, Revision)).body.sha;
  }

  /** The files at the top of the commit, and in the folders that a checkpoint may have. */
  async files(commit: string): Promise<HubFile[]> {
    const top = await this.#tree(commit, '');
    const folders = top.filter(({ type, path }) => type === 'directory' && FOLDERS.includes(path));
    const inner = await Promise.all(folders.map(({ path }) => this.#tree(commit, `/${path}`)));
    return [top, ...inner].flat().flatMap(filesOf);
  }

  /** Entries of a folder of the commit, all pages of the list. */
  async #tree(commit: string, folder: string): Promise<Tree> {
    const entries: Tree = [];
    let url: string | undefined = this.#api(`${this.#model.id}/tree/${commit}${folder}`);
    while (url !== undefined) {
      const page: Page<Tree> = await this.#json(url, Tree);
      entries.push(...page.body);
      url = page.next;
    }
    return entries;
  }

  /**
   * The answer to a request for a file from byte `from` on: 206, or 200 from the start, or 416.
   * @throws InterruptedError when it is worth another attempt
   * @throws HubError when it is not
   */
  async open(commit: string, path: string, from: number, signal: AbortSignal): Promise<Response> {
    const { endpoint, id } = this.#model;
    const name = path.split('/').map(encodeURIComponent).join('/');
    const response = await this.#get(`${endpoint}/${id}/resolve/${commit}/${name}`, signal, {
      // Sizes, ranges and digests are those of the bytes themselves.
      'accept-encoding': 'identity',
      ...(from > 0 ? { range: `bytes=${from}-` } : {}),
    });
    if (response.ok || response.status === 416) return response;
    throw await errorOfResponse(response, this.#model, {
      path,
      token: this.#token?.source,
    });
  }

  #api(path: string): string {
    return `${this.#model.endpoint}/api/models/${path}`;
  }

  async #json<T>(url: string, schema: z.ZodMiniType<T>): Promise<Page<T>> {
    return await retrying(async () => {
      const signal = AbortSignal.any([
        this.#retry.signal,
        AbortSignal.timeout(METADATA_TIMEOUT_MS),
      ]);
      const response = await this.#get(url, signal);
      if (!response.ok) {
        throw await errorOfResponse(response, this.#model, { token: this.#token?.source });
      }
      const parsed = schema.safeParse(await this.#readJson(response));
      if (!parsed.success) {
        throw new HubError(`${url} gave no list of a hub:\n${z.prettifyError(parsed.error)}`);
      }
      const next = nextPage(response);
      return { body: parsed.data, ...(next === undefined ? {} : { next }) };
    }, this.#retry);
  }

  async #readJson(response: Response): Promise<unknown> {
    const text = await response.text().catch((cause) => {
      throw new InterruptedError(`The answer of ${response.url} was cut off.`, { cause });
    });
    try {
      return JSON.parse(text);
    } catch (cause) {
      throw new HubError(`${response.url} gave no JSON. Is HF_ENDPOINT the address of a hub?`, {
        cause,
      });
    }
  }

  /** Follows redirects itself: fetch would not say that the token stays at its origin. */
  async #get(
    address: string,
    signal: AbortSignal,
    headers: Record<string, string> = {},
  ): Promise<Response> {
    const { origin } = new URL(this.#model.endpoint);
    let url = new URL(address);
    let atHome = url.origin === origin;
    for (let hop = 0; hop <= MOST_REDIRECTS; hop++) {
      const authorization =
        atHome && this.#token !== undefined ? { authorization: `Bearer ${this.#token.text}` } : {};
      const response = await this.#fetch(url, {
        headers: { ...headers, ...authorization },
        redirect: 'manual',
        signal,
      }).catch((cause) => {
        throw connectionError(url, cause);
      });
      const location = response.headers.get('location');
      if (!REDIRECTS.includes(response.status) || location === null) return response;
      await response.body?.cancel();
      url = new URL(location, url);
      // Who was sent away once does not get the token back.
      atHome &&= url.origin === origin;
    }
    throw new HubError(`${address} redirects more than ${MOST_REDIRECTS} times.`);
  }
}

/** The address in `Link: <…>; rel="next"` (RFC 8288). */
function nextPage(response: Response): string | undefined {
  const target = /<([^<>]*)>\s*;\s*rel="?next"?/.exec(response.headers.get('link') ?? '')?.[1];
  return target === undefined ? undefined : new URL(target, response.url).href;
}
