/** Bundles the page's script, types stripped and samples inside, into the one text that the Worker puts into its document. */

/** @param entry path of `page/main.ts` */
export async function buildPage(entry: string): Promise<string> {
  const { build, stop } = await import('esbuild');
  try {
    const { outputFiles } = await build({
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
  } finally {
    // Else its process waits for more.
    await stop();
  }
}
