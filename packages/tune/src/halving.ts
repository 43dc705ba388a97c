/** What is known of a candidate. */
export interface Measured<C> {
  readonly candidate: C;
  /** Prompts that it was tried on. */
  readonly prompts: number;
  /** Share of the full cache's quality. */
  readonly quality: number;
  /** Share of what the same prompts cost where nothing is evicted: comparable however many prompts were tried. From 1 on nothing is gained. */
  readonly cost: number;
}

/** What `halve` chooses from, and how it measures. `target` is the share of the full cache’s quality that must be kept, `prompts` how many there are in all. */
export interface HalvingOptions<C> {
  readonly candidates: readonly C[];
  readonly prompts: number;
  readonly target: number;
  /** Prompts of the first round. Default: so many that the rounds end with one to four candidates. */
  readonly first?: number;
  /** Tries a candidate on the first `prompts` prompts. */
  readonly measure: (candidate: C, prompts: number) => Promise<Measured<C>>;
}

/**
 * Successive halving (Jamieson and Talwalkar 2016) with a constraint: all candidates on a few prompts, the better half on twice as many, and so on to all of them. Better
 * means: holds, which is reaching the target at less than full cost, and is cheaper; where neither holds, keeps more. Where none of the last round holds on all prompts, those dropped before are
 * tried in their order.
 * @returns the cheapest that holds on all prompts, if there is one, and every candidate as last measured, best first
 */
export async function halve<C>({ candidates, prompts, target, first, measure }: HalvingOptions<C>): Promise<{
  readonly best: Measured<C> | undefined;
  readonly tried: readonly Measured<C>[];
}> {
  const holds = ({ quality, cost }: Measured<C>) => quality >= target && cost < 1;
  const better = (a: Measured<C>, b: Measured<C>) => {
    const [holdsA, holdsB] = [holds(a), holds(b)];
    if (holdsA !== holdsB) return holdsA ? -1 : 1;
    return holdsA ? a.cost - b.cost || b.quality - a.quality : b.quality - a.quality || a.cost - b.cost;
  };
  const rounds = Math.max(0, Math.floor(Math.log2(Math.max(1, candidates.length))) - 1);
  let count = Math.min(prompts, first ?? Math.max(1, Math.ceil(prompts / 2 ** rounds)));
  let running: readonly C[] = candidates;
  const dropped: Measured<C>[] = [];
  for (;;) {
    const measured: Measured<C>[] = [];
    for (const candidate of running) measured.push(await measure(candidate, count));
    measured.sort(better);
    if (count >= prompts) {
      const [best] = measured;
      dropped.sort(better);
      if (best === undefined || holds(best)) return { best, tried: [...measured, ...dropped] };
      const late = await tryDropped(dropped, prompts, holds, measure);
      return { best: late.find(holds), tried: merge(measured, late, dropped).sort(better) };
    }
    const kept = Math.max(1, Math.ceil(measured.length / 2));
    dropped.push(...measured.slice(kept));
    running = measured.slice(0, kept).map(({ candidate }) => candidate);
    count = Math.min(prompts, count * 2);
  }
}

/** Candidates that were dropped, on all prompts, until one holds. */
async function tryDropped<C>(
  dropped: readonly Measured<C>[],
  prompts: number,
  holds: (measured: Measured<C>) => boolean,
  measure: HalvingOptions<C>['measure'],
): Promise<Measured<C>[]> {
  const late: Measured<C>[] = [];
  for (const { candidate } of dropped) {
    const measured = await measure(candidate, prompts);
    late.push(measured);
    if (holds(measured)) break;
  }
  return late;
}

function merge<C>(...lists: readonly (readonly Measured<C>[])[]): Measured<C>[] {
  const merged = new Map<C, Measured<C>>();
  for (const one of lists.flat()) if (!merged.has(one.candidate)) merged.set(one.candidate, one);
  return [...merged.values()];
}
