import type { KvCache } from '@kvsift/cache';

/**
 * Undoes what a prefill did to a cache before it failed or was aborted.
 * @param forget for the first prefill of a session: called after the cache has been emptied; absent: what was appended is taken back
 */
export async function restoring<T>(cache: KvCache, forget: (() => void) | undefined, work: () => Promise<T>): Promise<T> {
  const layers = Array.from({ length: forget === undefined ? cache.layerCount : 0 }, (_, index) => cache.layer(index));
  const before = layers.map((layer) => layer.appended);
  try {
    return await work();
  } catch (error) {
    if (forget !== undefined) {
      cache.dispose();
      forget();
    }
    for (const [index, layer] of layers.entries()) layer.rollback(layer.appended - (before[index] ?? 0));
    throw error;
  }
}
