import type { KvCache } from '@kvsift/cache';
import type { Tensor } from '@kvsift/tensor';

/**
 * Undoes what a prefill did to a cache before it failed or was aborted.
 * @param forget for the first prefill of a session: called after the cache has been emptied; absent: what was appended is taken back
 */
export async function restoring<T>(cache: KvCache, forget: (() => void) | undefined, work: () => Promise<T>): Promise<T> {
  const layers = Array.from({ length: forget === undefined ? cache.layerCount : 0 }, (_, index) => cache.layer(index));
  const before = layers.map((layer) => layer.appended);
  const { seen, nextPosition } = cache;
  try {
    return await work();
  } catch (error) {
    Object.assign(cache, { seen, nextPosition });
    if (forget !== undefined) {
      cache.dispose();
      forget();
    }
    for (const [index, layer] of layers.entries()) layer.rollback(layer.appended - (before[index] ?? 0));
    throw error;
  }
}

/**
 * Waits for rows and for what caches hold. A tensor carries the failure of what it was made from, so that a failure of somebody else's work on the same
 * stream is none here.
 * @throws KvsiftError with which an op failed that they come from
 */
export async function demandSound(rows: readonly Tensor[], caches: readonly KvCache[]): Promise<void> {
  const lengths = caches.flatMap((cache) =>
    Array.from({ length: cache.layerCount }, (_, layer) => cache.layer(layer).view.lengths),
  );
  await Promise.all([...rows, ...lengths].map((tensor) => tensor.read()));
}
