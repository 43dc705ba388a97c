import { filled, type LayerView, norms, sumOverEntries } from '@kvsift/policy';
import type { Backend, Formula, KvView, Tensor } from '@kvsift/tensor';
import { type FeatureMap, featureRows, valuesOf } from './features.js';

/** Entries whose features exist at one time: of some maps they are a hundred times as wide as a key. */
const most = 1024;

/**
 * Σ weight · φ(k) ⊗ [v, 1] over the entries of a uniform cache, all of weight 1 where no weights f32 [kvHeads, n] are given: f32
 * [kvHeads, F, headDim + 1]; the last column sums the features.
 */
export function stateOf(view: LayerView, cache: KvView, features: FeatureMap, weights?: Tensor): Tensor {
  const sumOf = (backend: Backend, start: number, end: number) => {
    const blocks = features(backend, backend.kvRead(cache, 'keys', start, end));
    // [v, 1]ᵀ φ(k): to turn the values round is half the work of turning the features, and to weigh them likewise.
    const values = backend.transpose(backend.kvRead(cache, 'values', start, end), [0, 2, 1]);
    const shape = [cache.kvHeads, 1, end - start];
    const own = weights && backend.reshape(backend.slice(weights, 1, start, end), shape);
    const weighted = own ? backend.evaluate(['mul', values, own]) : values;
    const summed = backend.concat([weighted, own ?? filled(backend, shape, 1)], 1);
    const parts = blocks.map((block) => backend.matmul(summed, valuesOf(backend, block)));
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
  const present: Formula = ['less', ['mul', denominator, 0], denominator];
  const safe: Formula = ['add', ['mul', denominator, present], ['mul', ['sub', present, 1], -1]];
  const linear: Formula = ['log', safe];
  const lse = byHead(logSumExp, 1);
  const most: Formula = ['max', lse, linear];
  const exactWeight = backend.evaluate(['exp', ['sub', lse, most]]);
  const linearWeight = backend.evaluate(['mul', ['exp', ['sub', linear, most]], present]);
  const total = backend.evaluate(['add', exactWeight, linearWeight]);
  const divisor = backend.evaluate(safe);
  const joined: Formula = ['div', ['add', ['mul', own, exactWeight], ['mul', ['div', numerator, divisor], linearWeight]], total];
  const output = trusted(backend, joined, own, rule);
  return backend.reshape(backend.transpose(backend.reshape(output, [kvHeads, rows, group, headDim]), [1, 0, 2, 3]), [
    rows,
    columns,
  ]);
}

/** The mixed output where the rule trusts it, the exact part elsewhere. */
function trusted(backend: Backend, output: Formula, exact: Tensor, { kind, limit }: SafeRule): Tensor {
  if (kind === 'none') return backend.evaluate(output);
  if (kind === 'element') {
    const ratio: Formula = ['abs', ['sub', ['div', output, exact], 1]];
    return backend.evaluate(['add', exact, ['mul', ['less', ratio, limit - 1], ['sub', output, exact]]]);
  }
  const change = backend.evaluate(['sub', output, exact]);
  const length = (x: Tensor) => {
    const [heads = 0, rows = 0] = x.shape;
    return backend.reshape(norms(backend, x), [heads, rows, 1]);
  };
  // Not less than the limit's length: trusted up to and including it.
  const far: Formula = ['less', ['mul', length(exact), limit], length(change)];
  return backend.evaluate(['add', exact, ['mul', ['mul', ['sub', far, 1], -1], change]]);
}
