/** A command line begins with a command, or is answered with one. */
import { expect, it } from 'vitest';
import { commandOf, overview } from './command-name.ts';
import { COMMANDS } from './commands.ts';
import { settingsOf } from './settings.ts';

it.each([[], ['--help'], ['-h'], ['jobs'], ['jobs', '--help']])('help: %j', (...args) => {
  expect(commandOf(args)).toBeNull();
});

it.each([
  [['captoin', 'x'], 'Unknown command "captoin". Did you mean caption?'],
  [['jobs', 'cretae'], 'Unknown command "jobs cretae". Did you mean jobs create?'],
  [['nothing'], 'Unknown command "nothing". See blip2 --help.'],
  [['--url', 'x'], 'A command comes before --url.'],
])('%j is refused', (args, message) => {
  expect(() => commandOf(args)).toThrow(message);
});

it('every command is named in the overview', () => {
  for (const [name, { program }] of COMMANDS) {
    expect(program.command).toBe(`blip2 ${name}`);
    expect(overview()).toContain(`  blip2 ${name} `);
    expect(commandOf([...name.split(' '), 'a', '-b'])?.rest).toEqual(['a', '-b']);
  }
});

it('settings are JSON where they are, and texts else', () => {
  const set = ['temperature=0.7', 'stop= on', 'logprobs=true', 'bad_words_ids=[1]'];
  expect(settingsOf({ set, maxTokens: 3, prompt: 'a' })).toEqual({
    temperature: 0.7,
    stop: ' on',
    logprobs: true,
    bad_words_ids: [1],
    max_tokens: 3,
    prompt: 'a',
  });
  expect(() => settingsOf({ set: ['seed'] })).toThrow('--set must be NAME=VALUE, not "seed".');
  expect(() => settingsOf({ set: ['n=1', 'n=2'] })).toThrow('--set has n twice.');
});
