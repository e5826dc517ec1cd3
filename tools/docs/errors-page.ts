/** `docs/errors.md`: every problem with its cause and its remedy. */
import { PROBLEMS } from '@blip2/shared/errors';
import { markdownTable } from 'markdown-table';

export function errorsPage(): string {
  const rows = Object.entries(PROBLEMS)
    .sort(([a], [b]) => a.localeCompare(b))
    .sort(([, a], [, b]) => a.status - b.status)
    .map(([slug, { status, cause, remedy }]) => [String(status), `\`${slug}\``, cause, remedy]);
  return `# Errors

<!-- Written by \`npm run docs\` from \`shared/src/errors.ts\`. -->

Every error is a problem document (RFC 9457), \`application/problem+json\`:

\`\`\`json
{
  "type": "/problems/prompt-too-long",
  "title": "${PROBLEMS['prompt-too-long'].title}",
  "status": 400,
  "detail": "The text has 140 tokens; beside the image there is room for 95.",
  "field": "question",
  "limit": 95,
  "actual": 140
}
\`\`\`

\`type\` is stable; \`detail\` describes what is wrong with this request and what to do. \`field\`, \`limit\`, \`actual\` and \`retry_after\`
(seconds, also in the header \`Retry-After\`) are present where they apply. A stream that has begun ends with an event \`error\` whose data
is the same document. \`GET /problems/{slug}\` gives cause and remedy as text. Every reply has an \`x-request-id\`.

${markdownTable([['status', 'slug', 'cause', 'remedy'], ...rows])}
`;
}
