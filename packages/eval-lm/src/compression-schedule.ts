/** Compression after every token, per layer (l2compress f93d6ca). */
export interface CompressionSchedule {
  /** Share of the entries that a step keeps. */
  readonly keepRatio: number;
  /** Caches shorter than this are left alone. */
  readonly pruneAfter: number;
}

/** The two published settings: `quick` skips layers 0 and 1, `full` layer 0. */
export const LM_PRESETS = {
  quick: { keepRatio: 0.98, pruneAfter: 1000, skipLayers: [0, 1], chunkSize: 2000, prefill: 0 },
  full: { keepRatio: 0.98, pruneAfter: 10, skipLayers: [0], chunkSize: 200, prefill: 0 },
} as const;

/** Entries that one step leaves of `length`: ⌈keepRatio · length⌉, or all below `pruneAfter`. */
export function keptAfterStep(length: number, { keepRatio, pruneAfter }: CompressionSchedule): number {
  return length < pruneAfter ? length : Math.ceil(keepRatio * length);
}

/**
 * Cache lengths after each of `steps` tokens. Since every step compresses, a ratio acts as a cap of about 1 / (1 − ratio) entries: 0.98
 * holds 49.
 */
export function cacheLengths(steps: number, schedule: CompressionSchedule): number[] {
  let length = 0;
  return Array.from({ length: steps }, () => {
    length = keptAfterStep(length + 1, schedule);
    return length;
  });
}

/** One step of the loop: which tokens are fed, and which token is predicted. */
export interface LmStep {
  /** Indices into the chunk. */
  readonly feed: readonly number[];
  /** Index of the label. */
  readonly label: number;
}

/**
 * The order in which a chunk is read: token by token, after a prefill of `prefill` tokens if asked for.
 * @param skipsOne the reference's slip: after a prefill it scores token `prefill` but never feeds it. Default false
 */
export function lmSteps(chunkLength: number, prefill = 0, skipsOne = false): LmStep[] {
  const single = (from: number) =>
    Array.from({ length: Math.max(0, chunkLength - 1 - from) }, (_, i) => ({ feed: [from + i], label: from + i + 1 }));
  if (prefill === 0) return single(0);
  if (prefill >= chunkLength) return [];
  return [{ feed: Array.from({ length: prefill }, (_, i) => i), label: prefill }, ...single(skipsOne ? prefill + 1 : prefill)];
}
