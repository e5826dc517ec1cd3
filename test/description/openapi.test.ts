/** The OpenAPI document of the running service: the linter finds nothing, and its examples of requests work. */
import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Validator } from '@seriousme/openapi-schema-validator';
import { Ajv2020 } from 'ajv/dist/2020.js';
import formats from 'ajv-formats';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Stack, startStack } from '../../tools/local-stack.ts';
import { readImage, readScenes } from '../../tools/scenes.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

type Examples = Record<string, { value: { image?: { url?: string }; stream?: boolean } }>;
type Operation = {
  requestBody?: { content: { 'application/json'?: { examples: Examples } } };
  responses: Record<string, object>;
};
type ApiDocument = {
  paths: Record<string, { post?: Operation }>;
  components: { schemas: Record<string, object> };
};

const folder = temporaryFolder();
let stack: Stack;
let document: ApiDocument;
beforeAll(async () => {
  stack = await startStack({ jobs: true });
  document = (await (await fetch(`${stack.url}/openapi.json`)).json()) as ApiDocument;
});
afterAll(() => stack?.stop());

it('passes redocly lint with its recommended rules, without a warning', async () => {
  const path = join(folder, 'openapi.json');
  await writeFile(path, JSON.stringify(document));
  const redocly = fileURLToPath(import.meta.resolve('@redocly/cli/bin/cli.js'));
  // Nothing is reported to its makers, and no newer version is looked for.
  const env = {
    ...process.env,
    REDOCLY_TELEMETRY: 'off',
    REDOCLY_SUPPRESS_UPDATE_NOTICE: 'true',
  };
  const args = [redocly, 'lint', path, '--extends', 'recommended', '--format', 'json'];
  const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: folder, env }).catch(
    (failed: { stdout: string }) => failed,
  );
  const { problems } = JSON.parse(stdout) as { problems: object[] };
  expect(problems).toEqual([]);
});

it('follows the official schema of OpenAPI 3.1', async () => {
  const validator = new Validator();
  const { valid, errors } = await validator.validate(document);
  expect(errors).toBeUndefined();
  expect(valid).toBe(true);
  expect(validator.version).toBe('3.1');
});

it('has schemas that a strict validator compiles', () => {
  const { schemas } = document.components;
  const ajv = new Ajv2020({ strict: true, allowUnionTypes: true, strictRequired: false });
  formats.default(ajv);
  ajv.addKeyword('components');
  for (const name of Object.keys(schemas)) {
    const schema = { $ref: `#/components/schemas/${name}`, components: { schemas } };
    expect(() => ajv.compile(schema), name).not.toThrow();
  }
});

it('has examples of requests that get the replies they ask for', async () => {
  // The image that the examples name by its hash.
  const scene = (await readScenes()).find(({ file }) => file === 'pair-noto-00.webp');
  const headers = { 'content-type': 'image/webp' };
  const body = await readImage(scene!);
  await fetch(`${stack.url}/v1/captions`, { method: 'POST', headers, body });
  let count = 0;
  for (const [path, { post }] of Object.entries(document.paths)) {
    const examples = post?.requestBody?.content['application/json']?.examples ?? {};
    for (const [name, { value }] of Object.entries(examples)) {
      // There may be no internet.
      if (JSON.stringify(value).includes('https://images.example.org')) continue;
      // Only an earlier reply can name a file, or a job.
      if (/"file-[0-9a-f]{32}/.test(JSON.stringify(value)) || path.includes('{job_id}')) continue;
      const named = path
        .replace('{id}', 'blip2-scenes')
        .replace('{owner}/{name}', 'salesforce/blip-2');
      const response = await fetch(`${stack.url}${named}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(value),
      });
      const text = await response.text();
      expect(response.status, `${path} ${name}: ${text}`).toSatisfy(
        (status: number) => status < 300 && post?.responses[status] !== undefined,
      );
      expect(text.startsWith('event: image\n')).toBe(value.stream === true);
      count++;
    }
  }
  expect(count).toBeGreaterThanOrEqual(8);
});
