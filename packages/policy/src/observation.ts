import type { Backend, Tensor } from '@kvsift/tensor';
import type { LayerBudget, LayerView, Observation, ObservedRows } from './contract.js';

/** The least that covers what all of them ask for. */
export function joinObservations(list: readonly Observation[]): Observation {
  const rows = (name: 'queries' | 'queriesBeforeRotation' | 'hidden') =>
    list.map((observation) => observation[name] ?? 'none').reduce(longerRows, 'none');
  return {
    queries: rows('queries'),
    queriesBeforeRotation: rows('queriesBeforeRotation'),
    hidden: rows('hidden'),
    keysBeforeRotation: list.some((observation) => observation.keysBeforeRotation),
    columnSums: list.some((observation) => observation.columnSums),
    outputProjection: list.some((observation) => observation.outputProjection),
  };
}

function longerRows(a: ObservedRows, b: ObservedRows): ObservedRows {
  if (a === 'all' || b === 'none') return a;
  if (b === 'all' || a === 'none') return b;
  return { last: Math.max(a.last, b.last) };
}

/** A view that observes more, cut down to what `observe` asks for. Slices are made through `backend`. */
export function narrowView(view: LayerView, observe: Observation, budget: LayerBudget, backend: Backend): LayerView {
  const { queries, queryLogSums, queriesBeforeRotation, hidden, keysBeforeRotation, columnSums, outputProjection, ...rest } =
    view;
  const rows = (x: Tensor | undefined, wanted: ObservedRows | undefined): Tensor | undefined => {
    if (x === undefined || wanted === undefined || wanted === 'none') return undefined;
    const [have = 0] = x.shape;
    return wanted === 'all' || wanted.last >= have ? x : backend.slice(x, 0, have - wanted.last, have);
  };
  const parts: Record<string, Tensor | undefined> = {
    queries: rows(queries, observe.queries),
    queryLogSums: rows(queryLogSums, observe.queries),
    queriesBeforeRotation: rows(queriesBeforeRotation, observe.queriesBeforeRotation),
    hidden: rows(hidden, observe.hidden),
    keysBeforeRotation: observe.keysBeforeRotation ? keysBeforeRotation : undefined,
    columnSums: observe.columnSums ? columnSums : undefined,
    outputProjection: observe.outputProjection ? outputProjection : undefined,
  };
  return { ...rest, backend, budget, ...Object.fromEntries(Object.entries(parts).filter(([, tensor]) => tensor !== undefined)) };
}
