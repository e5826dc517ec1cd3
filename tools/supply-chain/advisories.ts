/** Packages that may not be older: what was found in earlier versions, and what of it could have reached this service. */

export type Floor = {
  package: string;
  /** The oldest version that may be installed, wherever in the tree. */
  atLeast: string;
  why: string;
};

export const FLOORS: readonly Floor[] = [
  {
    package: 'sharp',
    atLeast: '0.35.4',
    why: 'heap overflows and a use after free in libheif, by an AVIF that anybody may upload (GHSA-rgj7-g3m4-5g8c); before 0.35.0 four in libvips (GHSA-f88m-g3jw-g9cj)',
  },
  {
    package: 'hono',
    atLeast: '4.13.7',
    why: 'markup that is not escaped in hono/jsx, not used here (GHSA-hxh3-vqpv-xpqv); before 4.12.34 quadratic time in CORS by a header that anybody may send (GHSA-8j4g-w8fx-2239); before 4.12.25 CORS with credentials for any origin (GHSA-88fw-hqm2-52qc)',
  },
  {
    package: '@hono/node-server',
    atLeast: '2.0.10',
    why: 'memory that aborted WebSocket handshakes leave behind (GHSA-9mqv-5hh9-4cgg), and paths out of serve-static on Windows (GHSA-frvp-7c67-39w9), neither used here',
  },
  {
    package: 'undici',
    atLeast: '7.29.0',
    why: 'a line break in a header by the type of a body (CVE-2026-15157), replies of one request given to another by retries (CVE-2026-16728), caches shared among users (CVE-2026-13697); before 7.18.2 chains of compressions without a bound (CVE-2026-22036)',
  },
  {
    package: 'piscina',
    atLeast: '5.2.0',
    why: 'a polluted prototype chooses the file that a thread runs (GHSA-x9g3-xrwr-cwfg)',
  },
  {
    package: 'adm-zip',
    atLeast: '0.6.0',
    why: 'a small archive that allocates gigabytes (GHSA-xcpc-8h2w-3j85); onnxruntime-node unpacks what it downloads for CUDA with it, where that is asked for by hand',
  },
  {
    package: 'wrangler',
    atLeast: '4.59.1',
    why: 'commands in the name of a branch are run by a deploy (CVE-2026-0933)',
  },
  {
    package: 'esbuild',
    atLeast: '0.28.1',
    why: 'its development server reads files outside of its folder; not used here',
  },
];

/** Whether a version is at least another; a pre-release is older than its release. */
export function isAtLeast(version: string, floor: string): boolean {
  const [numbers, floors] = [version, floor].map((text) =>
    text.split('-')[0]!.split('.').map(Number),
  );
  for (const [i, number] of numbers!.entries()) {
    const other = floors![i] ?? 0;
    if (number !== other) return number > other;
  }
  return !version.includes('-') || floor.includes('-');
}
