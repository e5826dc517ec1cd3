/** Reads which files of this repository a file imports, imports of types included. */
import { globSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path/posix';
import { parseSync } from 'oxc-parser';

const SOURCES = ['{shared,edge,gpu-worker,infra}/**/*.ts', '{tools,test}/**/*.ts'];
const FOREIGN = /(^|\/)(node_modules|generated|golden)(\/|$)/;

/**
 * All TypeScript files, each with the files it imports; paths are relative to the root.
 * @param root folder of the repository
 */
export function readImports(root: string): Map<string, string[]> {
  const files = globSync(SOURCES, { cwd: root, exclude: (path) => FOREIGN.test(path) });
  const sources = files.filter((file) => !FOREIGN.test(file)).sort();
  return new Map(
    sources.map((file) => [file, importsOf(file, readFileSync(join(root, file), 'utf8'))]),
  );
}

/** @param source text of the file, from which paths and names are read */
export function importsOf(file: string, source: string): string[] {
  const { module } = parseSync(file, source);
  const specifiers = [
    ...module.staticImports.map(({ moduleRequest }) => moduleRequest.value),
    ...module.staticExports
      .flatMap(({ entries }) => entries)
      .flatMap(({ moduleRequest }) => moduleRequest?.value ?? []),
    // Source text with its quotes.
    ...module.dynamicImports.map(({ moduleRequest: { start, end } }) =>
      source.slice(start + 1, end - 1),
    ),
  ];
  return [...new Set(specifiers.flatMap((specifier) => toPath(file, specifier)))];
}

/** Path of a file of this repository; nothing for packages, Node's modules and text modules. */
function toPath(file: string, specifier: string): string[] {
  if (specifier.startsWith('.')) {
    return specifier.endsWith('.ts') ? [join(dirname(file), specifier)] : [];
  }
  // Every workspace exports "./*" as "./src/*.ts".
  const [, workspace, path] = /^@blip2\/([^/]+)\/(.+)$/.exec(specifier) ?? [];
  return workspace === undefined ? [] : [`${workspace}/src/${path}.ts`];
}
