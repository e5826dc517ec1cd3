/** Bundles the page's script, types stripped and samples inside, into the one text that the Worker puts into its document. */
import { buildSync } from 'esbuild';

/** @param entry path of `page/main.ts` */
export function buildPage(entry: string): string {
  // Leaves no process behind that waits for more, as `build` does.
  const { outputFiles } = buildSync({
    entryPoints: [entry],
    bundle: true,
    write: false,
    minify: true,
    format: 'esm',
    target: 'es2022',
    loader: { '.webp': 'dataurl' },
    logLevel: 'silent',
  });
  return outputFiles.map(({ text }) => text).join('');
}
