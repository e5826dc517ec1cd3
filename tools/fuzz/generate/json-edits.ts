/** Changes JSON at places of its tree, as text: values, names, members that come twice. */
import * as fc from 'fast-check';
import { hostileJson, hostileName } from './hostile.ts';

/** A change at one place: `at` counts the values of the tree, round and round. */
export type JsonEdit = { at: number } & (
  | { do: 'replace'; text: string }
  | { do: 'remove' }
  | { do: 'wrap' }
  | { do: 'rename'; name: string }
  | { do: 'add'; name: string; text: string }
  /** The member once more, with another value where there is a text. */
  | { do: 'repeat'; text: string | null }
);

type Node =
  | { kind: 'text'; text: string }
  | { kind: 'object'; members: [name: string, value: Node][] }
  | { kind: 'array'; items: Node[] };

/** A value within another. */
type Place = { parent: Exclude<Node, { kind: 'text' }>; index: number };

/** @param value replaced where it does not come from here: values that the schema allows, for instance */
export function jsonEdit(value: fc.Arbitrary<string> = hostileJson): fc.Arbitrary<JsonEdit> {
  const at = fc.nat(10_000);
  const edit = <const K extends string, T>(
    kind: K,
    members: { [P in keyof T]: fc.Arbitrary<T[P]> },
  ) => fc.record({ at, do: fc.constant(kind), ...members });
  return fc.oneof(
    { weight: 8, arbitrary: edit('replace', { text: value }) },
    { weight: 2, arbitrary: edit('remove', {}) },
    { weight: 1, arbitrary: edit('wrap', {}) },
    { weight: 1, arbitrary: edit('rename', { name: hostileName }) },
    { weight: 1, arbitrary: edit('add', { name: hostileName, text: value }) },
    { weight: 1, arbitrary: edit('repeat', { text: fc.option(value) }) },
  ) as fc.Arbitrary<JsonEdit>;
}

/** @example editJson({ n: 1 }, [{ at: 0, do: 'replace', text: 'NaN' }]) // '{"n":NaN}' */
export function editJson(value: unknown, edits: readonly JsonEdit[]): string {
  const root: Node = { kind: 'array', items: [nodeOf(value)] };
  for (const edit of edits) {
    const places = placesIn(root);
    const place = places[edit.at % Math.max(1, places.length)];
    if (place !== undefined) apply(edit, place);
  }
  return root.items.map(textOf).join('');
}

function nodeOf(value: unknown): Node {
  if (Array.isArray(value)) return { kind: 'array', items: value.map(nodeOf) };
  if (typeof value !== 'object' || value === null) {
    return { kind: 'text', text: JSON.stringify(value) ?? 'null' };
  }
  const members = Object.entries(value).map(([name, inner]): [string, Node] => [
    name,
    nodeOf(inner),
  ]);
  return { kind: 'object', members };
}

function placesIn(parent: Place['parent']): Place[] {
  return childrenOf(parent).flatMap((child, index) => [
    { parent, index },
    ...(child.kind === 'text' ? [] : placesIn(child)),
  ]);
}

function childrenOf(node: Place['parent']): Node[] {
  return node.kind === 'array' ? node.items : node.members.map(([, value]) => value);
}

function apply(edit: JsonEdit, { parent, index }: Place): void {
  const old = childrenOf(parent)[index] as Node;
  const put = (node: Node) => {
    if (parent.kind === 'array') parent.items[index] = node;
    else (parent.members[index] as [string, Node])[1] = node;
  };
  switch (edit.do) {
    case 'replace':
      put({ kind: 'text', text: edit.text });
      break;
    case 'wrap':
      put({ kind: 'array', items: [old] });
      break;
    case 'remove':
      (parent.kind === 'array' ? parent.items : parent.members).splice(index, 1);
      break;
    case 'rename':
      if (parent.kind === 'object') (parent.members[index] as [string, Node])[0] = edit.name;
      break;
    case 'add':
      if (old.kind === 'object') old.members.push([edit.name, { kind: 'text', text: edit.text }]);
      break;
    case 'repeat': {
      const again: Node = edit.text === null ? old : { kind: 'text', text: edit.text };
      if (parent.kind === 'array') parent.items.push(again);
      else parent.members.push([(parent.members[index] as [string, Node])[0], again]);
    }
  }
}

function textOf(node: Node): string {
  if (node.kind === 'text') return node.text;
  if (node.kind === 'array') return `[${node.items.map(textOf).join(',')}]`;
  const members = node.members.map(([name, value]) => `${JSON.stringify(name)}:${textOf(value)}`);
  return `{${members.join(',')}}`;
}
