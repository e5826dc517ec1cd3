/** Validates what clients send by its schema, and names the field that is wrong. */
import { ApiError } from '@blip2/shared/errors';
import type * as z from 'zod/mini';

/**
 * @example validate(CaptionOptions, { max_tokens: 0 }) // throws: max_tokens: must be more than 0.
 * @param within the field of the request that `value` is, where it is not the whole
 * @throws ApiError `invalid-request` naming the first field that is wrong
 */
export function validate<Schema extends z.ZodMiniType>(
  schema: Schema,
  value: unknown,
  ...within: string[]
): z.output<Schema> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  if (issue === undefined) throw new ApiError('invalid-request', 'The request is not valid.');
  const path = [...within, ...issue.path];
  if (issue.code === 'unrecognized_keys') {
    const field = fieldName([...path, issue.keys[0] ?? '']);
    throw new ApiError('invalid-request', `There is no field ${field}.`, { field });
  }
  const field = fieldName(path);
  const what = describe(issue, valueAt(value, issue.path));
  throw new ApiError('invalid-request', `${field || 'The request'}: ${what}.`, { field });
}

/** zod/mini has no messages without a locale. */
function describe(issue: z.core.$ZodIssue, sent: unknown): string {
  switch (issue.code) {
    case 'invalid_type':
      return sent === undefined ? 'is required' : `must be of type ${issue.expected}`;
    case 'too_small':
      return amount(issue.origin, issue.inclusive ? 'at least' : 'more than', issue.minimum);
    case 'too_big':
      return amount(issue.origin, issue.inclusive ? 'at most' : 'less than', issue.maximum);
    case 'invalid_union': {
      // What was sent is nearest to the alternative whose type it has.
      const near = issue.errors.flat().find(({ code }) => code !== 'invalid_type');
      if (sent === undefined) return 'is required';
      return near === undefined ? 'is of the wrong type' : describe(near, sent);
    }
    case 'invalid_value':
      return `must be one of ${issue.values.join(', ')}`;
    case 'custom':
      return issue.message;
    case 'invalid_format':
      return issue.message === 'Invalid input' ? 'has the wrong format' : issue.message;
    default:
      return 'is not valid';
  }
}

const COUNTED: Partial<Record<string, [one: string, several: string]>> = {
  string: ['character', 'characters'],
  array: ['entry', 'entries'],
};

function amount(origin: string, relation: string, limit: number | bigint): string {
  const [one, several] = COUNTED[origin] ?? ['', ''];
  if (one === '') return `must be ${relation} ${limit}`;
  return `must have ${relation} ${limit} ${limit === 1 ? one : several}`;
}

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>(
    (inner, key) => (inner as Record<PropertyKey, unknown> | undefined)?.[key],
    value,
  );
}

function fieldName(path: readonly PropertyKey[]): string {
  return path.map(String).join('.');
}
