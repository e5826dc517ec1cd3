/** Renders the Markdown that descriptions have: paragraphs, lists, tables and code. */
import { html } from 'hono/html';

export type Html = ReturnType<typeof html>;

/** Where a name in code is explained, if anywhere. @example hrefOf('no-image') // '/problems/no-image' */
export type HrefOf = (name: string) => string | undefined;

/** @example markdown('Send an `image`.', () => undefined) // <p>Send an <code>image</code>.</p> */
export function markdown(text: string, hrefOf: HrefOf): Html[] {
  return text
    .trim()
    .split(/\n{2,}/)
    .map((block) => {
      const lines = block.split('\n');
      if (lines.every((line) => line.startsWith('- '))) {
        return html`<ul>${lines.map((line) => html`<li>${inline(line.slice(2), hrefOf)}</li>`)}</ul>`;
      }
      if (lines.every((line) => line.startsWith('|'))) return table(lines, hrefOf);
      return html`<p>${inline(block, hrefOf)}</p>`;
    });
}

/** Text with code in it. */
export function inline(text: string, hrefOf: HrefOf): (Html | string)[] {
  return text.split('`').map((part, index) => (index % 2 === 0 ? part : code(part, hrefOf)));
}

/** A name as code, which leads to what explains it. */
export function code(name: string, hrefOf: HrefOf): Html {
  const href = hrefOf(name);
  return href === undefined
    ? html`<code>${name}</code>`
    : html`<a href="${href}"><code>${name}</code></a>`;
}

function table([head = '', _rule, ...rows]: string[], hrefOf: HrefOf): Html {
  const cells = (line: string) =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim());
  return html`<table>
    <thead><tr>${cells(head).map((cell) => html`<th scope="col">${inline(cell, hrefOf)}</th>`)}</tr></thead>
    <tbody>${rows.map((row) => html`<tr>${cells(row).map((cell) => html`<td>${inline(cell, hrefOf)}</td>`)}</tr>`)}</tbody>
  </table>`;
}
