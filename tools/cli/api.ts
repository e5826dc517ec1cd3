/** The service as the client calls it: with its key, and again where it says that another try helps. */
import { setTimeout as delay } from 'node:timers/promises';
import { backoffMs, retryAfterMs } from '@blip2/gpu-worker/hub/retry';
import type * as z from 'zod/mini';
import { CliError, EXIT, refusal } from './failure.ts';

/** A request. Its body is sent again with each try. */
type Call = {
  method?: 'GET' | 'POST' | 'DELETE';
  headers?: Record<string, string>;
  body?: string | Blob | FormData;
  /** Statuses other than 2xx that are no errors. */
  accepts?: readonly number[];
};

export type Api = {
  /** @throws CliError with what the service says, or that it does not answer */
  request: (path: string, call?: Call) => Promise<Response>;
  /** The reply as the schema has it. @throws CliError */
  json: <T>(schema: z.ZodMiniType<T>, path: string, call?: Call) => Promise<T>;
};

type Service = {
  url: string;
  key: string | undefined;
  /** Gets a line for each wait. */
  onWait: (line: string) => void;
};

/** Tries in a row. */
export const ATTEMPTS = 6;
/** Whoever asks for more is not waited for. */
const LONGEST_WAIT_MS = 120_000;
/** Characters of a refusal that are read. */
const MAX_REFUSAL = 2 ** 16;
/** Nothing was done: any request may be sent again. */
const TURNED_AWAY = [429, 503];
/** It may have been done: only those that do the same twice are sent again. */
const UNCERTAIN = [500, 502, 504];

export function connect({ url, key, onWait }: Service): Api {
  const authorization: Record<string, string> =
    key === undefined ? {} : { authorization: `Bearer ${key}` };

  /** An address where nobody has ever answered is more likely wrong than down. */
  let wasReached = false;

  /** Waits before the next try. @returns whether there is one */
  async function waited(failures: number, why: string, wished?: number): Promise<boolean> {
    const ms = wished ?? backoffMs(failures, Math.random());
    if (failures >= ATTEMPTS || ms > LONGEST_WAIT_MS) return false;
    onWait(`${why}: another try in ${Math.ceil(ms / 1000)} s`);
    await delay(ms);
    return true;
  }

  async function request(path: string, call: Call = {}): Promise<Response> {
    const { method = 'GET', headers = {}, body, accepts = [] } = call;
    const isSame = method !== 'POST' || 'idempotency-key' in headers;
    for (let failures = 1; ; failures++) {
      let reply: Response;
      try {
        reply = await fetch(`${url}${path}`, {
          method,
          headers: { ...authorization, ...headers },
          ...(body === undefined ? {} : { body }),
        });
      } catch (error) {
        const why = `${url} does not answer (${causeOf(error)})`;
        if (wasReached && isSame && (await waited(failures, why))) continue;
        throw new CliError(
          `${why}.\nStart it with npm start, or say where it is with --url or BLIP2_URL.`,
          EXIT.unreachable,
        );
      }
      wasReached = true;
      if (reply.ok || accepts.includes(reply.status)) return reply;
      const text = await beginningOf(reply);
      const mayTry =
        TURNED_AWAY.includes(reply.status) || (isSame && UNCERTAIN.includes(reply.status));
      const isHopeless = reply.headers.get('x-should-retry') === 'false';
      const wished = retryAfterMs(reply.headers.get('retry-after'), Date.now());
      const why = `The service answers ${reply.status}`;
      if (mayTry && !isHopeless && (await waited(failures, why, wished))) continue;
      const refused = refusal(reply.status, text);
      if (wished === undefined) throw refused;
      const after = `It may work in ${Math.ceil(wished / 1000)} s.`;
      throw new CliError(`${refused.message}\n${after}`, refused.exitCode);
    }
  }

  async function json<T>(schema: z.ZodMiniType<T>, path: string, call?: Call): Promise<T> {
    const reply = await request(path, call);
    const read = schema.safeParse(await reply.json().catch(() => null));
    if (read.success) return read.data;
    const what = `The reply to ${path} is not what this client knows: is ${url} the service, of the same version?`;
    throw new CliError(what, EXIT.refused);
  }

  return { request, json };
}

/** The text of a refusal: more of it would be none. */
async function beginningOf(reply: Response): Promise<string> {
  const decoder = new TextDecoder();
  let text = '';
  for await (const chunk of reply.body ?? []) {
    text += decoder.decode(chunk, { stream: true });
    if (text.length > MAX_REFUSAL) break;
  }
  return text;
}

/** A connection that broke in the middle of a reply, in words. */
export function causeOf(error: unknown): string {
  const { cause, message } = error as Error;
  const inner = cause as { code?: string; message?: string } | undefined;
  return inner?.message || inner?.code || message;
}
