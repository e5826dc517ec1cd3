/** Finds members that no schema knows: the validators of kubernetes-models refuse wrong types, and let typos pass. */

/** Looks whether a value is as its schema says: reads every member that the schema knows. */
type Validator = (value: unknown) => void;

/**
 * Paths of members that a validator never looks at, which a cluster would drop in silence or refuse.
 * @example unknownMembers({ spec: { replcas: 1 } }, validate) // ['spec.replcas']
 */
export function unknownMembers(value: unknown, validate: Validator): string[] {
  const read = new Set<string>();
  validate(observed(value, '', read));
  return membersOf(value, '').filter((path) => !read.has(path));
}

/** The value, that writes down which of its members are read. Who lists the members of an object accepts any name. */
function observed(value: unknown, path: string, read: Set<string>): unknown {
  if (typeof value !== 'object' || value === null) return value;
  return new Proxy(value, {
    get: (target, key) => {
      const member: unknown = Reflect.get(target, key);
      if (typeof key === 'symbol' || !Object.hasOwn(target, key)) return member;
      read.add(joined(path, key));
      return observed(member, joined(path, key), read);
    },
  });
}

/** Paths of all members, but not of those within one that is listed already by its schema as anything. */
function membersOf(value: unknown, path: string): string[] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, member]) => [
    ...(member === undefined ? [] : [joined(path, key)]),
    ...membersOf(member, joined(path, key)),
  ]);
}

const joined = (path: string, key: string) => (path === '' ? key : `${path}.${key}`);
