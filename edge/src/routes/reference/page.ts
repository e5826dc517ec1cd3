/** Lays the reference out as one document: contents, operations by group, schemas, headers and problems. */
import { PROBLEMS, type ProblemKind } from '@blip2/shared/errors';
import { html, raw } from 'hono/html';
import script from '../../../generated/reference.js.txt';
import colors from '../../page/colors.css';
import type { ApiDocument } from '../openapi/api-document.ts';
import { IMAGE_FILE, ORIGIN } from './curl.ts';
import { type HrefOf, type Html, inline, markdown } from './markdown.ts';
import { type Entry, showOperation } from './operation.ts';
import style from './reference.css';
import { members, row, typeOf } from './schema.ts';

export const STYLE = colors + style;
export const SCRIPT = script;
/** Where the image of the examples is. */
export const IMAGE_PATH = `/docs/${IMAGE_FILE}`;

/** @returns HTML in which the address of the service is still to be written: see `ORIGIN` */
export async function referencePage(document: ApiDocument): Promise<string> {
  const { info, tags, paths, components } = document;
  const entries: Entry[] = Object.entries(paths).flatMap(([path, operations]) =>
    Object.entries(operations).map(([method, operation]) => ({ method, path, operation })),
  );
  const groups = tags
    .map((tag) => ({
      ...tag,
      entries: entries.filter(({ operation }) => operation.tags[0] === tag.name),
    }))
    .filter((group) => group.entries.length > 0);
  const hrefOf = links(document, entries);
  const page = html`<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8" />
  <meta name="viewport" content="width=device-width, initial-scale=1" />
  <meta name="color-scheme" content="light dark" />
  <meta name="description" content="${info.summary}" />
  <title>API · ${info.title}</title>
  <link rel="icon" href="data:," />
  <style>${raw(STYLE)}</style>
</head>
<body>
  <a class="skip" href="#main">Skip to the reference</a>
  <header>
    <h1>${info.title} <span>API ${info.version}</span></h1>
    <p><a href="/">Try it</a> · <a href="/openapi.json">OpenAPI 3.1</a></p>
  </header>
  <nav aria-label="Routes">
    <p id="search" hidden><label for="filter">Find a route</label><input id="filter" type="search" autocomplete="off" spellcheck="false" /></p>
    <p id="found" role="status"></p>
    ${groups.map((group) => html`<h2><a href="#${group.name}">${group.name}</a></h2><ul>${group.entries.map(contents)}</ul>`)}
    <h2><a href="#schemas">schemas</a></h2>
    <h2><a href="#headers">headers</a></h2>
    <h2><a href="#problems">problems</a></h2>
  </nav>
  <main id="main" tabindex="-1">
    ${markdown(info.description, hrefOf)}
    <h2 id="examples">Examples</h2>
    <p>The commands below can be pasted into a shell. This one fetches the image that they send; the second tells the service of it, so that the others can name it by its hash.${document.security.length > 0 ? ' Put your key into BLIP2_API_KEY.' : ''}</p>
    <img src="${IMAGE_PATH}" alt="A pizza above an octopus on a gray background" width="176" height="176" loading="lazy" />
    <figure><figcaption>Once, before the others</figcaption><pre class="first" tabindex="0"><code>curl -s ${ORIGIN}${IMAGE_PATH} -o ${IMAGE_FILE}
curl -s ${ORIGIN}/v1/captions${document.security.length > 0 ? ' -H "Authorization: Bearer $BLIP2_API_KEY"' : ''} -H 'content-type: image/webp' --data-binary @${IMAGE_FILE}</code></pre></figure>
    ${groups.map((group) => html`<section><h2 id="${group.name}">${group.name}</h2>${markdown(group.description, hrefOf)}${group.entries.map((entry) => showOperation(entry, document, hrefOf))}</section>`)}
    <section><h2 id="schemas">schemas</h2>${Object.entries(components.schemas).map(
      ([name, schema]) =>
        html`<article id="schema-${name}"><h3><a href="#schema-${name}">${name}</a></h3><p>${inline(String(schema.description ?? ''), hrefOf)} <span class="type">${typeOf(schema, hrefOf)}</span></p>${members(schema, hrefOf)}</article>`,
    )}</section>
    <section><h2 id="headers">headers</h2><dl>${Object.entries(components.headers).map(
      ([name, { description, schema }]) =>
        row({ name, schema, description, id: `header-${name}` }, hrefOf),
    )}</dl></section>
    <section><h2 id="problems">problems</h2><dl>${Object.entries(PROBLEMS).map(([slug, kind]) => showProblem(slug, kind, hrefOf))}</dl></section>
  </main>
  <script type="module">${raw(SCRIPT)}</script>
</body>
</html>`;
  return String(await page);
}

function contents({ method, path, operation }: Entry): Html {
  const { operationId, summary } = operation;
  return html`<li data-entry="${method} ${path} ${summary}"><a href="#${operationId}"><b class="${method}">${method.toUpperCase()}</b> ${path}</a></li>`;
}

function showProblem(
  slug: string,
  { status, title, cause, remedy }: ProblemKind,
  hrefOf: HrefOf,
): Html {
  return html`<div id="problem-${slug}">
    <dt><a href="/problems/${slug}"><code>${slug}</code></a> <span class="type">${status}, ${title}</span></dt>
    <dd>${inline(`${cause} ${remedy}`, hrefOf)}</dd>
  </div>`;
}

/** Names in code lead to their explanation on this page. */
function links({ components }: ApiDocument, entries: readonly Entry[]): HrefOf {
  const hrefs = new Map<string, string>();
  for (const name of Object.keys(components.schemas)) hrefs.set(name, `#schema-${name}`);
  for (const name of Object.keys(components.headers)) hrefs.set(name, `#header-${name}`);
  for (const slug of Object.keys(PROBLEMS)) hrefs.set(slug, `#problem-${slug}`);
  for (const { method, path, operation } of entries) {
    hrefs.set(path, `#${operation.operationId}`);
    hrefs.set(`${method.toUpperCase()} ${path}`, `#${operation.operationId}`);
  }
  return (name) => hrefs.get(name);
}
