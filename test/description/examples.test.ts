/** Every example of the documents works when pasted, and the embedded model's answers are those that are shown. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Stack, startStack } from '../../tools/local-stack.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import {
  compilerErrors,
  examplesOf,
  hasCommand,
  type Language,
  missingModules,
  PYTHON,
  pagesWithExamples,
  prepareFolder,
  runExample,
} from './examples.ts';

const COMMANDS: Record<Language, string> = { sh: 'curl', python: PYTHON, ts: process.execPath };
const missing = new Set<Language>();
for (const [language, command] of Object.entries(COMMANDS)) {
  if (!(await hasCommand(command))) missing.add(language as Language);
}

const folder = temporaryFolder();
let stack: Stack;
beforeAll(async () => {
  await prepareFolder(folder);
  stack = await startStack({ jobs: true });
});
afterAll(() => stack?.stop());

/** Languages in which a reader must find examples. Other pages have some in what languages they like. */
const LANGUAGES: Readonly<Record<string, readonly Language[]>> = {
  'README.md': ['python', 'sh', 'ts'],
  'docs/api.md': ['python', 'sh', 'ts'],
  'docs/clients.md': ['python', 'sh', 'ts'],
};
const PAGES = pagesWithExamples();

it('every page that must have examples has some', () => {
  expect(PAGES).toEqual(expect.arrayContaining(Object.keys(LANGUAGES)));
});

describe.each(PAGES)('%s', (page) => {
  const examples = examplesOf(page);

  it('has examples in languages that are run here, with what they show', () => {
    const languages = new Set<string>(examples.map(({ language }) => language));
    expect([...languages].filter((language) => !(language in COMMANDS))).toEqual([]);
    expect([...languages]).toEqual(expect.arrayContaining([...(LANGUAGES[page] ?? [])]));
    for (const { expected, line } of examples) expect(expected, `line ${line}`).not.toEqual([]);
  });

  it('leaves nothing to be filled in', () => {
    for (const { code } of examples) expect(code).not.toMatch(/…|<\w[\w -]*>|\bYOUR_/);
  });

  it('has TypeScript that the compiler takes', async () => {
    const codes = examples.filter(({ language }) => language === 'ts').map(({ code }) => code);
    // Without files, the compiler prints its help.
    expect(codes.length === 0 ? '' : await compilerErrors(codes, folder)).toBe('');
  });

  // In their order: a later one may ask about the image of an earlier one.
  describe.each(examples)('line $line, $language', ({ language, code, expected }) => {
    it.skipIf(missing.has(language))('works when pasted', async ({ skip }) => {
      const modules = language === 'python' ? await missingModules(code) : [];
      skip(modules.length > 0, `Python has no ${modules.join(', ')} here`);
      const output = await runExample({ language, code }, { url: stack.url, folder });
      if (!expected.some((text) => text.includes('/problems/'))) {
        expect(output).not.toContain('/problems/');
      }
      for (const text of expected) expect(output).toContain(text);
    });
  });
});
