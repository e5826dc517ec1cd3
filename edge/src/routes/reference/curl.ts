/** Commands for `curl` that call an operation, made of the document's examples. */
import type { Example, Media, Operation, Parameter } from '../openapi/api-document.ts';

/** Stands in the page for the address under which it was asked for. */
export const ORIGIN = '{{origin}}';

/** The file that the commands send: see `IMAGE_PATH`. */
export const IMAGE_FILE = 'example.webp';

type Command = { summary: string; command: string };

/**
 * @param template the path with `{name}` for a parameter
 * @param needsKey whether callers have to have a key, which the commands read from the environment
 */
export function curlCommands(
  method: string,
  template: string,
  operation: Operation,
  needsKey: boolean,
): Command[] {
  const { parameters, requestBody, responses, summary } = operation;
  const key = needsKey && operation.security === undefined;
  const path = template.replaceAll(/\{(\w+)\}/g, (_, name: string) =>
    encodeURIComponent(String(exampleOf(parameters.find((one) => one.name === name)))),
  );
  const ofQuery = parameters.filter((one) => one.in === 'query');
  const command = (query: readonly Parameter[], ...options: string[]) => {
    const pairs = query.flatMap((one) => textsOf(one).map((text) => [one.name, text]));
    const url = `${ORIGIN}${path}${pairs.length === 0 ? '' : `?${new URLSearchParams(pairs)}`}`;
    const quoted = /^[\w:/.{}-]*$/.test(url) ? url : `'${url}'`;
    // With a body it posts.
    const usual = requestBody === undefined ? 'get' : 'post';
    const flags = method === usual ? [] : [`-X ${method.toUpperCase()}`];
    const header = key ? ['-H "Authorization: Bearer $BLIP2_API_KEY"'] : [];
    return [`curl -s ${quoted}`, ...flags, ...header, ...options].join(' \\\n  ');
  };
  if (requestBody === undefined) {
    const isFile = Object.keys(responses[200]?.content ?? {}).some((type) =>
      type.startsWith('image/'),
    );
    return [
      {
        summary,
        command: command(
          ofQuery.filter(({ required }) => required),
          ...(isFile ? [`-o ${IMAGE_FILE}`] : []),
        ),
      },
    ];
  }
  const { content } = requestBody;
  const form = content['multipart/form-data']?.schema.required ?? [];
  const needed = ofQuery.filter(({ name, required }) => required || form.includes(name));
  const commands: Command[] = [];
  if ('image/*' in content) {
    const body = command(needed, "-H 'content-type: image/webp'", `--data-binary @${IMAGE_FILE}`);
    commands.push({ summary: 'The image itself', command: body });
  }
  if (Object.keys(content).join() === 'multipart/form-data') {
    const media = content['multipart/form-data'];
    const [file = ''] = filesOf(media);
    const { [file]: text, ...fields } = (media?.example ?? {}) as Record<string, unknown>;
    const isText = String(text).startsWith('{');
    const source = isText ? `${text};filename=lines.jsonl` : `@${IMAGE_FILE};type=image/webp`;
    const parts = [...Object.entries(fields), [file, source]];
    commands.push({
      summary: isText ? 'A form with the file' : 'A form with the image',
      command: command(needed, ...parts.map(([name, value]) => `-F '${name}=${value}'`)),
    });
  }
  for (const { summary, value } of Object.values<Example>(
    content['application/json']?.examples ?? {},
  )) {
    const isStream = (value as { stream?: unknown } | null)?.stream === true;
    const body = `'${json(value).replaceAll("'", `'\\''`)}'`;
    const options = ["-H 'content-type: application/json'", `-d ${body}`];
    commands.push({
      summary: summary ?? 'JSON',
      command: command([], ...(isStream ? ['-N'] : []), ...options),
    });
  }
  return commands;
}

/** The fields of a form that are files. */
function filesOf(media: Media | undefined): string[] {
  const fields = Object.entries(media?.schema.properties ?? {});
  return fields.filter(([, { format }]) => format === 'binary').map(([name]) => name);
}

/** In a line where that is short. */
export function json(value: unknown): string {
  const line = JSON.stringify(value);
  return line.length < 90 ? line : JSON.stringify(value, null, 2);
}

/** A list is a name that is repeated, unless it is JSON. */
function textsOf(parameter: Parameter): string[] {
  const value = exampleOf(parameter);
  const values = Array.isArray(value) && parameter.content === undefined ? value : [value];
  return values.map((one) => (typeof one === 'string' ? one : JSON.stringify(one)));
}

function exampleOf(parameter: Parameter | undefined): unknown {
  return parameter?.example ?? parameter?.content?.['application/json']?.example;
}
