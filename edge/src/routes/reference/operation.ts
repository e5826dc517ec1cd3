/** Shows one operation: what it does, commands that call it, what it reads and how it replies. */
import { html } from 'hono/html';
import type {
  ApiDocument,
  Example,
  Media,
  Operation,
  Parameter,
  Reply,
} from '../openapi/api-document.ts';
import { curlCommands, json } from './curl.ts';
import { code, type HrefOf, type Html, inline, markdown } from './markdown.ts';
import { row, typeOf } from './schema.ts';

export type Entry = { method: string; path: string; operation: Operation };

/** @param document where the examples stand that an operation refers to */
export function showOperation(
  { method, path, operation }: Entry,
  document: ApiDocument,
  hrefOf: HrefOf,
): Html {
  const { operationId: id, summary, description, parameters, requestBody, responses } = operation;
  const needsKey = document.security.length > 0;
  const replies = Object.entries(responses);
  return html`<article id="${id}" data-entry="${method} ${path} ${summary}">
    <h3><a href="#${id}">${summary}</a></h3>
    <p class="path"><b class="${method}">${method.toUpperCase()}</b> <code>${path}</code></p>
    ${markdown(description, hrefOf)}
    ${curlCommands(method, path, operation, needsKey).map(
      ({ summary: title, command }) =>
        html`<figure><figcaption>${title}</figcaption>${block(command, 'curl')}</figure>`,
    )}
    ${parameters.length === 0 ? '' : html`<h4>Parameters</h4><dl>${parameters.map((one) => showParameter(one, hrefOf))}</dl>`}
    ${requestBody && html`<h4>Body</h4><p>${inline(requestBody.description, hrefOf)}</p>${types(requestBody.content, hrefOf)}`}
    <h4>Replies</h4>
    ${replies.filter(([status]) => Number(status) < 400).map(([status, reply]) => showReply(status, reply, document, hrefOf))}
    <details>
      <summary>Errors: ${replies
        .map(([status]) => status)
        .filter((status) => Number(status) >= 400)
        .join(', ')}</summary>
      ${replies.filter(([status]) => Number(status) >= 400).map(([status, reply]) => showError(status, reply, hrefOf))}
    </details>
  </article>`;
}

/** Text to copy, which scrolls where it is wide. */
function block(text: string, kind: string): Html {
  return html`<pre class="${kind}" tabindex="0"><code>${text}</code></pre>`;
}

function showParameter(
  { name, in: where, description = '', required, schema, content }: Parameter,
  hrefOf: HrefOf,
): Html {
  const json = schema ?? content?.['application/json']?.schema ?? {};
  const text = `${description}${description.endsWith('.') ? '' : '.'} In the ${where}.`;
  return row({ name, schema: json, isRequired: required === true, description: text }, hrefOf);
}

/** What a body may be. */
function types(content: Record<string, Media>, hrefOf: HrefOf): Html {
  return html`<ul>${Object.entries(content).map(([type, { schema }]) => {
    const { contentSchema, description } = schema as {
      contentSchema?: { items: object };
      description?: string;
    };
    const what = contentSchema
      ? typeOf(contentSchema.items as object as typeof schema, hrefOf)
      : typeOf(schema, hrefOf);
    return html`<li><code>${type}</code>: ${what}${description === undefined ? '' : html`. ${inline(description, hrefOf)}`}</li>`;
  })}</ul>`;
}

function showReply(status: string, reply: Reply, document: ApiDocument, hrefOf: HrefOf): Html {
  const { description, content = {}, headers = {} } = reply;
  const examples = Object.entries(content).flatMap(([type, media]) =>
    Object.values(media.examples ?? {}).map((example): [string, Example] => [type, example]),
  );
  return html`<p><b>${status}</b> ${description}; headers ${Object.keys(headers).map((name, index) => [index === 0 ? '' : ', ', code(name, hrefOf)])}</p>
    ${types(content, hrefOf)}
    ${examples.map(([type, { summary = type, value, $ref }]) => {
      const shown =
        $ref === undefined
          ? value
          : document.components.examples[$ref.split('/').at(-1) ?? '']?.value;
      return html`<details><summary>${summary}</summary>${block(typeof shown === 'string' ? shown : json(shown), 'reply')}</details>`;
    })}`;
}

/** The problems of a status, by name: what they mean is said once, at the end of the page. */
function showError(status: string, { description, content = {} }: Reply, hrefOf: HrefOf): Html {
  const problems = [...description.matchAll(/^- `([\w-]+)`/gm)].map(([, slug = '']) => slug);
  const listed = problems.map((slug, index) => [index === 0 ? '' : ', ', code(slug, hrefOf)]);
  return html`<p><b>${status}</b> ${listed} <span class="type">(${Object.keys(content).join(' or ')})</span></p>`;
}
