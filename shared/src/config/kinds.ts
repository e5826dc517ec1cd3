/** The kinds of values that options have: how a text is parsed, what is allowed, and how a value is written. */
import * as z from 'zod/mini';
import { TenantName } from '../api-key.ts';

/** How a kind of value is parsed from a text that is not empty, and described in errors and help texts. */
export type Kind<T> = {
  readonly schema: z.ZodMiniType<T, string>;
  /** What is allowed, as it follows "must be". */
  readonly allowed: string;
  /** Placeholder of the value in the help text; a switch has none, since its flag has no value. */
  readonly placeholder: string | null;
  /** Whether its flag may be there several times: its texts are then lines of one. */
  readonly repeats?: true;
  /** The text that parses to the value. */
  format(value: T): string;
};

/** A whole number in decimal digits, `low` to `high`. */
export function wholeNumber(low: number, high: number, placeholder = 'N'): Kind<number> {
  const digits = z.pipe(z.string().check(z.regex(/^\d+$/)), z.transform(Number));
  return {
    schema: z.pipe(digits, z.int().check(z.gte(low), z.lte(high))),
    allowed: `a whole number from ${low} to ${high}`,
    placeholder,
    format: String,
  };
}

/** A whole number in decimal digits, `low` to `high`; `none` is null. */
export function wholeNumberOrNone(low: number, high: number): Kind<number | null> {
  const { schema, allowed, placeholder } = wholeNumber(low, high);
  const none = z.pipe(
    z.literal('none'),
    z.transform(() => null),
  );
  return {
    schema: z.union([none, schema]),
    allowed: `${allowed}, or none`,
    placeholder,
    format: (value) => (value === null ? 'none' : String(value)),
  };
}

/** A share, from 0 to 1. */
export function share(): Kind<number> {
  const digits = z.pipe(z.string().check(z.regex(/^(\d+(\.\d*)?|\.\d+)$/)), z.transform(Number));
  return {
    schema: z.pipe(digits, z.number().check(z.gte(0), z.lte(1))),
    allowed: 'a number from 0 to 1',
    placeholder: 'SHARE',
    format: String,
  };
}

/** One of a few words. */
export function choice<const T extends string>(...words: readonly [T, ...T[]]): Kind<T> {
  return {
    schema: z.enum(words),
    allowed: words.length === 1 ? words[0] : `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`,
    placeholder: words.join('|'),
    format: (word) => word,
  };
}

/** Any text: a name, a path, an address that only its user can judge. */
export function text(placeholder: string): Kind<string> {
  const allowed = placeholder.toLowerCase();
  return { schema: z.string(), allowed, placeholder, format: (value) => value };
}

/** Words with commas between them. @example 'a, b' → ['a', 'b'] */
export function list(placeholder: string): Kind<readonly string[]> {
  const split = (value: string) =>
    value
      .split(',')
      .map((word) => word.trim())
      .filter((word) => word !== '');
  return {
    schema: z.pipe(z.string(), z.transform(split)) as z.ZodMiniType<readonly string[], string>,
    allowed: 'words with commas between them',
    placeholder,
    format: (words) => words.join(','),
  };
}

/** Texts, each by a flag of its own. @example --text 'a dog' --text 'a cat, perhaps' → ['a dog', 'a cat, perhaps'] */
export function several(placeholder: string): Kind<readonly string[]> {
  const lines = z.transform((value: string) => value.split('\n'));
  return {
    schema: z.pipe(z.string(), lines) as z.ZodMiniType<readonly string[], string>,
    allowed: `${placeholder.toLowerCase()}, also several times`,
    placeholder,
    repeats: true,
    format: (texts) => texts.join('\n'),
  };
}

/** Words of a few, with commas between them. @example choices('fp32', 'int8') of 'fp32,int8' → ['fp32', 'int8'] */
export function choices<const T extends string>(
  ...words: readonly [T, ...T[]]
): Kind<readonly T[]> {
  const all = list(words.join(','));
  return {
    schema: z.pipe(all.schema, z.array(z.enum(words)).check(z.minLength(1))) as z.ZodMiniType<
      readonly T[],
      string
    >,
    allowed: `one or more of ${words.join(', ')}, with commas between them`,
    placeholder: all.placeholder,
    format: (value) => value.join(','),
  };
}

const ON = ['1', 'true', 'yes', 'on'] as const;

/** On or off: 1, true, yes or on, and 0, false, no or off. A flag of this kind has no value. */
export function toggle(): Kind<boolean> {
  const words = z.enum([...ON, 'off', '0', 'false', 'no']);
  return {
    schema: z.pipe(
      z.pipe(z.string().check(z.toLowerCase()), words),
      z.transform((word) => ON.some((on) => on === word)),
    ),
    allowed: '1 or 0',
    placeholder: null,
    format: (value) => (value ? '1' : '0'),
  };
}

/** An http or https address; comes without a slash at its end. */
export function httpUrl(): Kind<string> {
  const withoutSlash = z.transform((value: string) => value.replace(/(?<!\/)\/+$/, ''));
  return {
    schema: z.pipe(z.url({ protocol: /^https?$/ }), withoutSlash),
    allowed: 'an http:// or https:// address',
    placeholder: 'URL',
    format: (value) => value,
  };
}

/** The address of a proxy; without a protocol it is spoken to by http, as curl does. */
export function proxyUrl(): Kind<string> {
  const withProtocol = z.transform((value: string) =>
    /^\w+:\/\//.test(value) ? value : `http://${value}`,
  );
  const { schema, ...kind } = httpUrl();
  return { ...kind, schema: z.pipe(z.pipe(z.string(), withProtocol), schema) };
}

/** What an HTTP header can carry after `Bearer`; white space around it, as that of a file's end, is left out. */
export function bearerToken(): Kind<string> {
  return {
    schema: z.string().check(z.trim(), z.regex(/^[\x21-\x7e]+$/)),
    allowed: 'a token: printable ASCII without spaces',
    placeholder: 'TOKEN',
    format: (value) => value,
  };
}

/** Secrets that are keys of an HMAC, with commas between them. */
export function secrets(): Kind<readonly string[]> {
  const split = (value: string) => value.split(',').map((secret) => secret.trim());
  const each = z.string().check(z.minLength(32), z.maxLength(256));
  return {
    schema: z.pipe(
      z.pipe(z.string(), z.transform(split)),
      z.array(each).check(z.minLength(1), z.maxLength(2)),
    ),
    allowed: 'one secret or two, with a comma between them, of 32 to 256 characters each',
    placeholder: 'SECRET',
    format: (value) => value.join(','),
  };
}

/** Id and secret of a service token, which go in a header each. */
export function accessToken(): Kind<string> {
  return {
    schema: z
      .string()
      .check(z.trim(), z.regex(/^[\x21-\x39\x3b-\x7e]{1,256}:[\x21-\x39\x3b-\x7e]{1,256}$/)),
    allowed: 'an id and a secret, with a colon between them',
    placeholder: 'ID:SECRET',
    format: (value) => value,
  };
}

/** What an HTTP header can carry. */
export function headerText(placeholder: string): Kind<string> {
  return {
    schema: z.string().check(z.trim(), z.regex(/^[\x20-\x7e]{1,256}$/)),
    allowed: `${placeholder.toLowerCase()}: up to 256 characters of printable ASCII`,
    placeholder,
    format: (value) => value,
  };
}

/** Name of an HTTP header, in lower case; `none` is no header. */
export function headerName(): Kind<string | null> {
  const token = z.string().check(z.trim(), z.toLowerCase(), z.regex(/^[a-z0-9-]{1,64}$/));
  return {
    schema: z.pipe(
      token,
      z.transform((name) => (name === 'none' ? null : name)),
    ),
    allowed: 'the name of a header: up to 64 letters, digits and hyphens, or none',
    placeholder: 'NAME',
    format: (value) => value ?? 'none',
  };
}

/** The name of a tenant. */
export function tenantName(): Kind<string> {
  return {
    schema: TenantName,
    allowed:
      'the name of a tenant: up to 64 letters, digits, points, hyphens and underscores, the first a letter or a digit',
    placeholder: 'TENANT',
    format: (value) => value,
  };
}
