/** Checks replies against the OpenAPI document: whatever a test makes the edge say must be described. */
import { Problem } from '@blip2/shared/errors';
import { ReplyHeaders } from '@blip2/shared/schemas/headers';
import type { ApiDocument, Media, Operation } from '../routes/openapi/api-document.ts';

export type { ApiDocument, Media, Operation };

/** The operation that answers a request; none for other paths. A path without parameters is preferred. */
function operationsAt(document: ApiDocument, path: string): Record<string, Operation> | undefined {
  const exact = document.paths[path];
  if (exact !== undefined) return exact;
  const pattern = Object.keys(document.paths).find((template) =>
    new RegExp(`^${template.replaceAll(/\{\w+\}/g, '[^/]+')}$`).test(path),
  );
  return pattern === undefined ? undefined : document.paths[pattern];
}

/** @throws Error naming what the document does not say of this reply */
export async function expectDescribed(
  document: ApiDocument,
  request: { url: string; method: string },
  response: Response,
): Promise<void> {
  const { pathname } = new URL(request.url);
  const operations = operationsAt(document, pathname);
  if (operations === undefined || request.method === 'OPTIONS') return;
  const method = request.method === 'HEAD' ? 'get' : request.method.toLowerCase();
  // Another method is answered as every operation of the path says.
  const operation = operations[method] ?? Object.values(operations)[0];
  const { status, headers } = response;
  const what = `${request.method} ${pathname}: ${status}`;
  const described = operation?.responses[status];
  if (described === undefined) {
    throw new Error(`${what} is not described: ${await response.clone().text()}`);
  }
  const type = headers.get('content-type')?.split(';')[0] ?? '';
  if (type !== '' && described.content?.[type] === undefined) {
    throw new Error(`${what} as ${type} is not described`);
  }
  for (const name of Object.keys(ReplyHeaders.shape)) {
    if (headers.has(name) && described.headers?.[name] === undefined) {
      throw new Error(`${what}: the header ${name} is not described`);
    }
  }
  if (type !== 'application/problem+json' || request.method === 'HEAD') return;
  const problem = Problem.parse(await response.clone().json());
  if (!JSON.stringify(described.content?.[type]?.schema).includes(`"${problem.type}"`)) {
    throw new Error(`${what} as ${problem.type} is not described`);
  }
}
