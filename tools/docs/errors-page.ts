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

Every error of our own routes is a problem document (RFC 9457), \`application/problem+json\`:

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

Routes of other services' APIs ([clients.md](clients.md)) have the same problems, in the forms that their clients read:

| routes | an error is | the problem is in |
| --- | --- | --- |
| \`/v1/chat/completions\`, \`/v1/responses\`, \`/v1/models\`, \`/v1/files\`, \`/v1/batches\`, and \`/v1/embeddings\` with \`input\` | \`{error: {message, type, param, code}}\` | \`code\`: the slug with \`_\`, or OpenAI's own name (\`context_length_exceeded\`, \`rate_limit_exceeded\`, \`invalid_api_key\`, \`invalid_image\`, \`server_error\`) |
| \`/hf/…\` | \`{error, error_type}\`, never with the status 503 | \`error_type\`: the slug |
| \`/replicate/v1/…\` | a problem document as \`application/json\`; 422 in place of most 400 | \`type\` |
| \`/api/…\` (Ollama) | \`{error}\` | its text alone |
| \`/moondream/v1/…\` | as OpenAI's; in a stream an event \`error\` | \`code\` |
| paths below \`/v1\` that are nowhere | a problem document with OpenAI's \`error\` beside its members | \`type\`, \`error.code\` |

${markdownTable([['status', 'slug', 'cause', 'remedy'], ...rows])}
`;
}
