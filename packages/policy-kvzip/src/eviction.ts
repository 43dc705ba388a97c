import type { Decision } from '@kvsift/policy';
import type { Backend } from '@kvsift/tensor';

/** How the evicted entries are chosen once every entry has a score. */
export interface Eviction {
  /** Entries to evict of each layer; undefined: `total` over all layers. */
  readonly perLayer?: number;
  readonly total: number;
}

/**
 * Keeps all but the lowest scores [kvHeads · length] per layer; equal scores lose the later layer, head and slot first. Heads are ragged.
 */
export function evictLowest(
  backend: Backend,
  scores: readonly Float32Array[],
  kvHeads: number,
  { perLayer, total }: Eviction,
): Decision[] {
  const counts = perLayer === undefined ? perLayerCounts(scores, total) : scores.map(() => perLayer);
  return scores.map((own, layer) => {
    const length = own.length / kvHeads;
    const gone = new Uint8Array(own.length);
    for (const index of lowest(own, counts[layer] ?? 0)) gone[index] = 1;
    const heads = Array.from({ length: kvHeads }, (_, head) =>
      Array.from({ length }, (__, slot) => slot).filter((slot) => gone[head * length + slot] === 0),
    );
    const offsets = [0];
    for (const slots of heads) offsets.push((offsets.at(-1) ?? 0) + slots.length);
    return backend.selection(Int32Array.from(heads.flat()), Int32Array.from(offsets));
  });
}

/** How many of the `total` lowest scores each layer has. */
function perLayerCounts(scores: readonly Float32Array[], total: number): number[] {
  const size = scores[0]?.length ?? 0;
  const all = new Float32Array(scores.length * size);
  scores.forEach((own, layer) => {
    all.set(own, layer * size);
  });
  const counts = scores.map(() => 0);
  for (const index of lowest(all, total)) {
    const layer = Math.floor(index / size);
    counts[layer] = (counts[layer] ?? 0) + 1;
  }
  return counts;
}

function lowest(scores: Float32Array, count: number): number[] {
  const value = (index: number) => {
    const score = scores[index] ?? 0;
    return Number.isNaN(score) ? Number.NEGATIVE_INFINITY : score;
  };
  return Array.from(scores.keys())
    .sort((a, b) => value(a) - value(b) || b - a)
    .slice(0, count);
}
