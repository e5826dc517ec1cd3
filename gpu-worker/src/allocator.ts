/** Has the C library keep the model's memory in large pages. */

/**
 * Settings of glibc's allocator, which it reads when a process starts. Large pages for what it allocates (weights are read
 * with far fewer misses of the address cache), and one heap, which the engine thread shares, for what runs return, so that each
 * finds its pages mapped. Without them an image of ViT-g takes a quarter longer, a prompt a third, and
 * loading several times as long (`npm run bench`, with GLIBC_TUNABLES set to anything else). Above 16 MiB lie the planes of
 * a KV cache of many slots: they are given back when they are outgrown, and would leave holes in the heap (0.1 GB of 5).
 */
const TUNABLES = {
  'glibc.malloc.hugetlb': 1,
  'glibc.malloc.arena_max': 1,
  'glibc.malloc.mmap_threshold': 2 ** 24,
  'glibc.malloc.trim_threshold': 2 ** 25,
};

/** The environment to start again with; null where the allocator is another or its settings are somebody's choice. */
export function tunedEnvironment(
  environment: Record<string, string | undefined>,
  platform: string,
): Record<string, string> | null {
  if (platform !== 'linux' || environment.GLIBC_TUNABLES !== undefined) return null;
  const tunables = Object.entries(TUNABLES).map(([name, value]) => `${name}=${value}`);
  const present = Object.entries(environment).filter(([, value]) => value !== undefined);
  return {
    ...(Object.fromEntries(present) as Record<string, string>),
    GLIBC_TUNABLES: tunables.join(':'),
  };
}
