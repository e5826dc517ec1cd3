/** The commands of the reference page work when pasted, there is one for each route, and the documents name each route. */
import { execFile } from 'node:child_process';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Stack, startStack } from '../../tools/local-stack.ts';
import { ROOT } from '../../tools/prepare-edge.ts';
import type { ApiDocument } from '../support/described-reply.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { hasCommand } from './examples.ts';

const folder = temporaryFolder();
let stack: Stack;
let page: string;
let document: ApiDocument;
beforeAll(async () => {
  stack = await startStack({ jobs: true });
  page = await (await fetch(`${stack.url}/docs`)).text();
  document = (await (await fetch(`${stack.url}/openapi.json`)).json()) as ApiDocument;
});
afterAll(() => stack?.stop());

/**
 * What only an earlier reply can name, `{prediction_id}`: the command of such a route may find nothing, and the tests of its
 * clients call it as it is meant.
 */
const OF_EARLIER_REPLY = /\{\w+_id\}/;
/** The same in a body. */
const ID_IN_BODY = /"file-[0-9a-f]{32}/;

/** Hosts of examples that are nowhere. */
const NOWHERE = 'images.example.org';

const TEXTS = { amp: '&', lt: '<', gt: '>', quot: '"', '#39': "'" };

function commandsIn(html: string, kind: string): string[] {
  const found = html.matchAll(new RegExp(`<pre class="${kind}" tabindex="0"><code>([^<]*)<`, 'g'));
  return [...found].map(([, text = '']) =>
    text.replaceAll(/&(amp|lt|gt|quot|#39);/g, (_, name: keyof typeof TEXTS) => TEXTS[name]),
  );
}

/** Pastes a command into a shell. @returns what it wrote, and the last status that it got */
async function paste(command: string): Promise<{ output: string; status: number }> {
  const text = command.replaceAll(/^curl -s/gm, `curl -s -w '\\n%{http_code}'`);
  const args = ['-euo', 'pipefail', '-c', text];
  const { stdout } = await promisify(execFile)('bash', args, {
    cwd: folder,
    timeout: 60_000,
    maxBuffer: 2 ** 24,
  });
  return { output: stdout, status: Number(stdout.slice(-3)) };
}

const hasCurl = await hasCommand('curl');
if (!hasCurl) console.warn('The commands of the reference are not tried: there is no curl.');

it.skipIf(!hasCurl)(
  'every route has a command that works when pasted',
  async () => {
    const [first = ''] = commandsIn(page, 'first');
    expect((await paste(first)).output).toContain('a pizza above an octopus on a gray background');
    const failed: string[] = [];
    const tried = new Set<string>();
    for (const article of page.split('<article id="').slice(1)) {
      const [id = ''] = article.split('"', 1);
      const isOfEarlier = OF_EARLIER_REPLY.test(/data-entry="([^"]*)"/.exec(article)?.[1] ?? '');
      for (const command of commandsIn(article, 'curl')) {
        if (command.includes(NOWHERE)) continue;
        const { output, status } = await paste(command);
        const isBroken = command.includes(' -N') && /^event: error|^data: \{"error"/m.test(output);
        const isRight = status >= 200 && status < 300 && !isBroken;
        const isNowhere =
          (isOfEarlier || ID_IN_BODY.test(command)) && status >= 400 && status < 500;
        if (isRight || isNowhere) tried.add(id);
        else failed.push(`${id}: ${command}\n${output.slice(0, 500)}`);
        // What it deleted is needed again.
        if (command.includes('-X DELETE')) await paste(first);
      }
    }
    expect(failed).toEqual([]);
    const operations = Object.values(document.paths).flatMap((path) => Object.values(path));
    expect(operations.map(({ operationId }) => operationId).filter((id) => !tried.has(id))).toEqual(
      [],
    );
  },
  300_000,
);

it('every route is named in the documents', () => {
  const pages = globSync(['README.md', 'docs/*.md'], { cwd: ROOT });
  const nameless = (text: string) => text.replaceAll(/\{\w+\}/g, '{}');
  const text = nameless(pages.map((path) => readFileSync(join(ROOT, path), 'utf8')).join('\n'));
  const isNamed = (path: string) => {
    // A model's name may stand behind many paths, which is said once.
    const named = [nameless(path), nameless(path.replace(/\/\{id\}$/, ''))].map((one) =>
      RegExp.escape(one),
    );
    return new RegExp(`(?:${named.join('|')})(?![\\w/{-])`).test(text);
  };
  expect(Object.keys(document.paths).filter((path) => !isNamed(path))).toEqual([]);
});
