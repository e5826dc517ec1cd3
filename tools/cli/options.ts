/** Options that several commands of the client have. */
import { CLIENT_OPTIONS } from '@blip2/shared/config/client-options';
import { several, text, toggle, wholeNumber } from '@blip2/shared/config/kinds';
import { option } from '@blip2/shared/config/option';

const output = 'Output';
const settings = 'Settings';

export const SERVICE = CLIENT_OPTIONS;

export const JSON_OUTPUT = {
  json: option({
    flag: 'json',
    kind: toggle(),
    default: false,
    group: output,
    help: 'print what the service replies, as JSON',
  }),
};

export const SETTINGS = {
  maxTokens: option({
    flag: 'max-tokens',
    kind: wholeNumber(1, 100_000),
    group: settings,
    help: 'most tokens of each text',
  }),
  set: option({
    flag: 'set',
    kind: several('NAME=VALUE'),
    default: [],
    group: settings,
    help: 'any other member of the request, several times: --set temperature=0.7 --set seed=7',
  }),
};

export const PROMPT = {
  prompt: option({
    flag: 'prompt',
    kind: text('TEXT'),
    group: settings,
    help: 'text that captions continue',
  }),
};
