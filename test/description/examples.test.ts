/** Every example of the documents works when pasted, and the embedded model's answers are those that are shown. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Stack, startStack } from '../../tools/local-stack.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import {
  compilerErrors,
  examplesOf,
  hasCommand,
  type Language,
  prepareFolder,
  runExample,
} from './examples.ts';

const COMMANDS: Record<Language, string> = { sh: 'curl', python: 'python3', ts: process.execPath };
const missing = new Set<Language>();
for (const [language, command] of Object.entries(COMMANDS)) {
  if (!(await hasCommand(command))) missing.add(language as Language);
}

const folder = temporaryFolder();
let stack: Stack;
beforeAll(async () => {
  await prepareFolder(folder);
  stack = await startStack();
});
afterAll(() => stack?.stop());

const ALL = Object.keys(COMMANDS) as Language[];

describe.each<[string, Language[]]>([
  ['README.md', ALL],
  ['docs/api.md', ALL],
  ['docs/clients.md', ['sh', 'ts']],
])('%s', (page, languages) => {
  const examples = examplesOf(page);

  it('has examples in its languages, with what they show', () => {
    expect(new Set(examples.map(({ language }) => language))).toEqual(new Set(languages));
    for (const { expected, line } of examples) expect(expected, `line ${line}`).not.toEqual([]);
  });

  it('leaves nothing to be filled in', () => {
    for (const { code } of examples) expect(code).not.toMatch(/…|<\w[\w -]*>|\bYOUR_/);
  });

  it('has TypeScript that the compiler takes', async () => {
    const codes = examples.filter(({ language }) => language === 'ts').map(({ code }) => code);
    expect(await compilerErrors(codes, folder)).toBe('');
  });

  // In their order: a later one may ask about the image of an earlier one.
  describe.each(examples)('line $line, $language', ({ language, code, expected }) => {
    it.skipIf(missing.has(language))('works when pasted', async () => {
      const output = await runExample({ language, code }, { url: stack.url, folder });
      if (!expected.some((text) => text.includes('/problems/'))) {
        expect(output).not.toContain('/problems/');
      }
      for (const text of expected) expect(output).toContain(text);
    });
  });
});
