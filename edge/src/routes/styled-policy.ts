/** The content security policy of a page that has its style and script inside: it admits them by their hashes. */

/** @param others directives for what the page may load beside them */
export async function styledPolicy(
  style: string,
  script: string,
  ...others: readonly string[]
): Promise<string> {
  return [
    "default-src 'none'",
    `style-src ${await hashOf(style)}`,
    `script-src ${await hashOf(script)}`,
    ...others,
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join('; ');
}

async function hashOf(text: string): Promise<string> {
  return `'sha256-${(await digest(text)).toBase64()}'`;
}

/** SHA-256 of a text's UTF-8. */
export async function digest(text: string): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text)));
}
