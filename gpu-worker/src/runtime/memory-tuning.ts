/** Settings of the C library's allocator, large pages for the model's memory and one heap for all threads, and of V8's. */

/** Buffers of so many bytes are mapped outside the heap: they get memory as they are touched, and all of it is freed. */
export const MAPPED_BYTES = 2 ** 24;

/**
 * Settings of glibc's allocator, which it reads when a process starts. Large pages for what it allocates (weights are read
 * with far fewer misses of the address cache), and one heap, which the engine thread shares, for what runs return, so that each
 * finds its pages mapped. Without them an image of ViT-g takes a quarter longer, a prompt a third, and
 * loading several times as long (`npm run bench`, with GLIBC_TUNABLES set to anything else).
 */
const TUNABLES = {
  'glibc.malloc.hugetlb': 1,
  'glibc.malloc.arena_max': 1,
  'glibc.malloc.mmap_threshold': MAPPED_BYTES,
  'glibc.malloc.trim_threshold': 2 ** 25,
};

/**
 * V8 lets what is young take up to 96 MB in each thread, a step now and then over hours, though little of it lives: the engine
 * thread with 192 MB of cached prompts went from 94 to 157 MB of heap for 17 MB of objects. With a limit it stays where it is
 * after minutes, and runs are as fast. Megabytes, of which a thread has three times as many.
 */
const SEMI_SPACE_MB = 8;

/** Arguments of Node to restart with, beside those that are there, which come last and so prevail. */
export function tunedArguments(present: readonly string[]): string[] {
  return [`--max-semi-space-size=${SEMI_SPACE_MB}`, ...present];
}

/** The environment to restart with; null where the C library is another, or its allocator is configured already. */
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
