/** Bundles the page's script, types stripped and samples inside, into the one text that the Worker puts into its document. */

/** @param entry path of `page/main.ts` */
export async function buildPage(entry: string): Promise<string> {
  // Read when it is loaded: leaves no process behind that waits for more.
  process.env.ESBUILD_WORKER_THREADS = '0';
  const { buildSync } = await import('esbuild');
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
