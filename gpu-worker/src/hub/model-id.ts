/** The ways to name a model on a hub: `owner/name`, `owner/name@revision`, its URL, `hf://`. */
import { HubError } from './errors.ts';

export type ModelId = {
  /** `owner/name` */
  id: string;
  /** Branch, tag, `refs/pr/N` or commit. */
  revision: string;
  /** Base URL of its hub, without a trailing slash. */
  endpoint: string;
};

const DEFAULT_REVISION = 'main';
const PART = '[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?';
const ID = new RegExp(`^${PART}/${PART}$`);
const HUB = 'https://huggingface.co';
/** Addresses of the same hub. */
const ALIASES: Record<string, string> = { 'https://hf.co': HUB, 'https://www.huggingface.co': HUB };

/**
 * @param endpoint hub of the names that give none
 * @param revision that of the names that give none
 * @throws HubError when the text names no model
 * @example parseModelId('hf://Salesforce/blip2-opt-2.7b@refs/pr/3', 'https://huggingface.co')
 */
export function parseModelId(text: string, endpoint: string, revision?: string): ModelId {
  const named = /^https?:\/\//.test(text) ? fromUrl(text, endpoint) : fromName(text, endpoint);
  if (named.revision !== undefined && revision !== undefined && named.revision !== revision) {
    throw new HubError(`"${text}" names a revision, and "${revision}" is another.`, {
      status: 400,
    });
  }
  const model = { ...named, revision: named.revision ?? revision ?? DEFAULT_REVISION };
  return isId(model.id) && isRevision(model.revision) ? model : refuse(text);
}

const isId = (id: string) => ID.test(id) && !/--|\.\./.test(id);

type Named = { id: string; revision: string | undefined; endpoint: string };

function fromName(text: string, endpoint: string): Named {
  const plain = text.replace(/^hf:\/\/(models\/)?/, '');
  const at = plain.indexOf('@');
  const [owner, name, file] = plain.split('/');
  if (at === -1 && /\.\w+$/.test(file ?? '') && isId(`${owner}/${name}`)) {
    return refuse(text, `${owner}/${name}`);
  }
  if (at === -1) return { id: plain, revision: undefined, endpoint };
  return { id: plain.slice(0, at), revision: plain.slice(at + 1), endpoint };
}

function fromUrl(text: string, endpoint: string): Named {
  const url = URL.canParse(text) ? new URL(text) : refuse(text);
  const origin = ALIASES[url.origin] ?? url.origin;
  const address = `${origin}${url.pathname}`.replace(/(?<!\/)\/+$/, '');
  // An endpoint may have a path of its own; any other host serves its models at the top.
  const base = address.startsWith(`${endpoint}/`) ? endpoint : origin;
  const [owner, name, tree, ...rest] = address
    .slice(base.length + 1)
    .split('/')
    .map(decode);
  const id = `${owner}/${name}`;
  if (tree === undefined) return { id, revision: undefined, endpoint: base };
  if (tree === 'tree') return { id, revision: rest.join('/'), endpoint: base };
  const isFile = ['blob', 'resolve', 'raw'].includes(tree);
  return refuse(text, isFile && isId(id) ? id : undefined);
}

/** What git allows in the name of a branch or tag, as far as it could change the path of a URL or a file. */
function isRevision(text: string): boolean {
  return /^[^\s~^:?*[\\]+$/.test(text) && !/(^|\/)\.|\.\.|\/\/|^\/|\/$/.test(text);
}

function decode(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}

/** @param id of the model whose file it is */
function refuse(text: string, id?: string): never {
  const advice =
    id === undefined
      ? "give owner/name, owner/name@revision, or the URL of the model's page"
      : `it names a file of one. Give ${id}, all that is needed of it is pulled`;
  throw new HubError(`"${text}" names no model: ${advice}.`, { status: 400 });
}
