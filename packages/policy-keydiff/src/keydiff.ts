import {
  bestFirst,
  definePolicy,
  entryRow,
  filled,
  keepBest,
  type LayerView,
  norms,
  overEntries,
  releasing,
  resolveBudgets,
  sumOverEntries,
} from '@kvsift/policy';
import type { Backend, KvView, Tensor } from '@kvsift/tensor';

/** KeyDiff (specification 13). */
export const keydiff = definePolicy({
  name: 'keydiff',
  title: 'KeyDiff',
  idea: 'Keys that point away from the mean key direction carry what others do not. Keep those with the smallest cosine to the mean.',
  paper: {
    title: 'KeyDiff: Key Similarity-Based KV Cache Eviction for Long-Context LLM Inference in Resource-Constrained Environments',
    authors: 'Park, Jones, Morse, Goel, Lee, Lott',
    venue: 'NeurIPS 2025',
    url: 'https://arxiv.org/abs/2504.15364',
  },
  parameters: {
    blockSize: {
      kind: 'integer',
      default: 0,
      min: 0,
      unit: 'tokens',
      description: 'Read the prompt in blocks and re-rank the survivors with each block, as the paper does (128); 0 ranks once.',
    },
  },
  observes: 'keys',
  costs: '4 · kvHeads · n · headDim FLOPs, times the number of blocks',
  phases: ['prefill', 'decode'],
  profiles: {
    paper: { description: 'Blocks of 128.', parameters: { blockSize: 128 } },
    kvpress: { description: 'kvpress KeyDiffPress.', parameters: { blockSize: 0 } },
  },
  deviations: ['Blocks are simulated on the finished prefill, so its peak is one full layer.'],
  create: ({ blockSize }) =>
    keepBest('keydiff', {
      protect: { first: 0, last: 0 },
      allocate: resolveBudgets,
      start: () => ({
        observe: {},
        decode: { observe: {} },
        score: (view) => (blockSize === 0 ? atOnce(view) : inBlocks(view, blockSize)),
      }),
    }),
});

/** Keys of the entries start … end − 1, each of length 1: f32 [kvHeads, entries, headDim]. */
function unitKeys(backend: Backend, cache: KvView, start: number, end: number): Tensor {
  const keys = backend.kvRead(cache, 'keys', start, end);
  const lengths = backend.zip(norms(backend, keys), 1e-12, 'max');
  return backend.zip(keys, backend.reshape(lengths, [cache.kvHeads, end - start, 1]), 'div');
}

function atOnce(view: LayerView): Tensor {
  const { backend, cache, length } = view;
  const sum = sumOverEntries(view, (inner, start, end) => inner.reduce(unitKeys(inner, cache, start, end), 1, 'sum'));
  const anchor = backend.reshape(backend.zip(sum, length, 'div'), [cache.kvHeads, 1, cache.headDim]);
  return overEntries(view, (inner, start, end) => difference(inner, unitKeys(inner, cache, start, end), anchor));
}

/** −cos(key, anchor): f32 [kvHeads, n] of unit keys f32 [kvHeads, n, headDim] and f32 [kvHeads, 1, headDim]. */
function difference(backend: Backend, units: Tensor, anchor: Tensor): Tensor {
  const [heads = 0, length = 0] = units.shape;
  const size = backend.reshape(backend.zip(norms(backend, anchor), 1e-8, 'max'), [heads, 1, 1]);
  const cosine = backend.matmul(backend.zip(anchor, size, 'div'), units, { transposeB: true });
  return backend.map(backend.reshape(cosine, [heads, length]), 'neg');
}

/** Starts with the first entries, then lets each block compete with the survivors; those out of the race score −10³⁰. */
function inBlocks(view: LayerView, blockSize: number): Tensor {
  const { backend, cache, length, model } = view;
  const units = unitKeys(backend, cache, 0, length);
  const keep = Math.min(view.budget.perHead, length);
  const range = (target: Backend, from: number, to: number) =>
    entryRow(target, length, (entry) => (entry >= from && entry < to ? 1 : 0));
  let survivors = backend.zip(filled(backend, [model.kvHeads, 1], 0), range(backend, 0, keep), 'add');
  let scores = filled(backend, [model.kvHeads, length], 0);
  for (let start = keep; start < length; start += blockSize) {
    scores = releasing(backend, (inner) => {
      const candidates = inner.zip(survivors, range(inner, start, start + blockSize), 'max');
      const penalty = inner.zip(inner.zip(candidates, 1, 'sub'), 1e30, 'mul');
      const anchor = inner.matmul(inner.reshape(candidates, [model.kvHeads, 1, length]), units);
      return inner.zip(difference(inner, units, anchor), penalty, 'add');
    });
    const [before, latest] = [survivors, scores];
    survivors = releasing(backend, (inner) => inner.zip(bestFirst(inner, latest), keep, 'less'));
    before.dispose();
  }
  return scores;
}
