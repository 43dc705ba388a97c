import { type LayerView, sumOverEntries } from '@kvsift/policy';
import type { Backend, KvView, Tensor } from '@kvsift/tensor';
import { type FeatureMap, featureRows, valuesOf } from './features.js';

/** Entries whose features exist at one time: of some maps they are a hundred times as wide as a key. */
const most = 512;

/**
 * Σ weight · φ(k) ⊗ [v, 1] over the entries of a uniform cache, all of weight 1 where no weights f32 [kvHeads, n] are given: f32
 * [kvHeads, F, headDim + 1]; the last column sums the features.
 */
export function stateOf(view: LayerView, cache: KvView, features: FeatureMap, weights?: Tensor): Tensor {
  const sumOf = (backend: Backend, start: number, end: number) => {
    const blocks = features(backend, backend.kvRead(cache, 'keys', start, end));
    const own = weights && backend.reshape(backend.slice(weights, 1, start, end), [cache.kvHeads, end - start, 1]);
    // [v, 1]ᵀ φ(k): to turn the values round is half the work of turning the features.
    const values = backend.transpose(backend.kvRead(cache, 'values', start, end), [0, 2, 1]);
    const parts = blocks.map((block) => {
      const rows = valuesOf(backend, own === undefined ? block : ['mul', block, own]);
      const [heads = 0, , width = 0] = rows.shape;
      const sums = backend.reshape(backend.reduce(rows, 1, 'sum'), [heads, 1, width]);
      return backend.concat([backend.matmul(values, rows), sums], 1);
    });
    return backend.concat(parts, 2);
  };
  return view.backend.transpose(sumOverEntries(view, sumOf, { length: cache.maxLength, most }), [0, 2, 1]);
}

/** When the mixed output is trusted. */
export interface SafeRule {
  /** 'element': each component whose ratio to the exact part is within (2 − limit, limit). 'vector': the whole row within limit · ‖exact‖. */
  readonly kind: 'element' | 'vector' | 'none';
  readonly limit: number;
}

/**
 * Joins the exact attention over the stored entries with the state's part (specification 11.4, 11.5).
 * q and exact: f32 [rows, queryHeads · headDim]; logSumExp f32 [rows, queryHeads]; state of `stateOf`.
 */
export function mixed(
  backend: Backend,
  features: FeatureMap,
  state: Tensor,
  q: Tensor,
  exact: Tensor,
  logSumExp: Tensor,
  rule: SafeRule,
): Tensor {
  const [kvHeads = 0, , width = 0] = state.shape;
  const [rows = 0, columns = 0] = exact.shape;
  const headDim = width - 1;
  const group = columns / headDim / kvHeads;
  // Rows of all query heads of a group below each other: [kvHeads, rows · group, ...].
  const byHead = (x: Tensor, size: number) =>
    backend.reshape(backend.transpose(backend.reshape(x, [rows, kvHeads, group, size]), [1, 0, 2, 3]), [
      kvHeads,
      rows * group,
      size,
    ]);
  const own = byHead(exact, headDim);
  const sums = backend.matmul(featureRows(backend, features, byHead(q, headDim)), state);
  const numerator = backend.slice(sums, 2, 0, headDim);
  const denominator = backend.slice(sums, 2, headDim, width);
  // A state that sums to nothing or less says nothing: weight 0.
  const present = backend.zip(backend.zip(denominator, 0, 'mul'), denominator, 'less');
  const safe = backend.zip(
    backend.zip(denominator, present, 'mul'),
    backend.zip(backend.zip(present, 1, 'sub'), -1, 'mul'),
    'add',
  );
  const linear = backend.map(safe, 'log');
  const lse = byHead(logSumExp, 1);
  const most = backend.zip(lse, linear, 'max');
  const exactWeight = backend.map(backend.zip(lse, most, 'sub'), 'exp');
  const linearWeight = backend.zip(backend.map(backend.zip(linear, most, 'sub'), 'exp'), present, 'mul');
  const total = backend.zip(exactWeight, linearWeight, 'add');
  const sum = backend.zip(
    backend.zip(own, exactWeight, 'mul'),
    backend.zip(backend.zip(numerator, safe, 'div'), linearWeight, 'mul'),
    'add',
  );
  const output = trusted(backend, backend.zip(sum, total, 'div'), own, rule);
  return backend.reshape(backend.transpose(backend.reshape(output, [kvHeads, rows, group, headDim]), [1, 0, 2, 3]), [
    rows,
    columns,
  ]);
}

/** The mixed output where the rule trusts it, the exact part elsewhere. */
function trusted(backend: Backend, output: Tensor, exact: Tensor, { kind, limit }: SafeRule): Tensor {
  if (kind === 'none') return output;
  const change = backend.zip(output, exact, 'sub');
  if (kind === 'element') {
    const ratio = backend.map(backend.zip(backend.zip(output, exact, 'div'), 1, 'sub'), 'abs');
    return backend.zip(exact, backend.zip(backend.zip(ratio, limit - 1, 'less'), change, 'mul'), 'add');
  }
  const length = (x: Tensor) => {
    const [heads = 0, rows = 0] = x.shape;
    return backend.reshape(backend.map(backend.reduce(backend.map(x, 'square'), 2, 'sum'), 'sqrt'), [heads, rows, 1]);
  };
  // Not less than the limit's length: trusted up to and including it.
  const far = backend.zip(backend.zip(length(exact), limit, 'mul'), length(change), 'less');
  return backend.zip(exact, backend.zip(backend.zip(backend.zip(far, 1, 'sub'), -1, 'mul'), change, 'mul'), 'add');
}
