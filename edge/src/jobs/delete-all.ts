/** Deletes everything of a bucket whose key begins so. */

/** In one request. */
const MAX_DELETED = 1000;

export async function deleteAll(bucket: R2Bucket, prefix: string): Promise<void> {
  for (;;) {
    const { objects, truncated } = await bucket.list({ prefix, limit: MAX_DELETED });
    if (objects.length > 0) await bucket.delete(objects.map(({ key }) => key));
    if (!truncated) return;
  }
}
