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
        decode: { observe: {}, repeats: true },
        score: (view) => (blockSize === 0 ? atOnce(view) : inBlocks(view, blockSize)),
      }),
    }),
});

/** Keys and their lengths, f32 [kvHeads, n, headDim] and [kvHeads, n]. */
interface Keys {
  readonly keys: Tensor;
  readonly lengths: Tensor;
}

function readKeys(backend: Backend, cache: KvView, start: number, end: number): Keys {
  const keys = backend.kvRead(cache, 'keys', start, end);
  return { keys, lengths: backend.zip(norms(backend, keys), 1e-12, 'max') };
}

function atOnce(view: LayerView): Tensor {
  const { backend, cache, length } = view;
  const sum = sumOverEntries(view, (inner, start, end) => {
    const { keys, lengths } = readKeys(inner, cache, start, end);
    return inner.evaluate(['div', keys, inner.reshape(lengths, [cache.kvHeads, end - start, 1])], { axis: 1, op: 'sum' });
  });
  const anchor = unit(backend, backend.zip(sum, length, 'div'));
  return overEntries(view, (inner, start, end) => difference(inner, readKeys(inner, cache, start, end), anchor));
}

/** Rows of [kvHeads, headDim] at length 1, as f32 [kvHeads, 1, headDim]. */
function unit(backend: Backend, x: Tensor): Tensor {
  const [heads = 0, headDim = 0] = x.shape;
  const size = backend.reshape(backend.zip(norms(backend, x), 1e-8, 'max'), [heads, 1]);
  return backend.reshape(backend.zip(x, size, 'div'), [heads, 1, headDim]);
}

/** −cos(key, anchor): f32 [kvHeads, n], of an anchor f32 [kvHeads, 1, headDim] of length 1. */
function difference(backend: Backend, { keys, lengths }: Keys, anchor: Tensor): Tensor {
  const products = backend.reshape(backend.matmul(anchor, keys, { transposeB: true }), lengths.shape);
  return backend.evaluate(['neg', ['div', products, lengths]]);
}

/** Starts with the first entries, then lets each block compete with the survivors; those out of the race score −10³⁰. */
function inBlocks(view: LayerView, blockSize: number): Tensor {
  const { backend, cache, length, model } = view;
  const all = readKeys(backend, cache, 0, length);
  const keep = Math.min(view.budget.perHead, length);
  const range = (target: Backend, from: number, to: number) =>
    entryRow(target, length, (entry) => (entry >= from && entry < to ? 1 : 0));
  let survivors = backend.zip(filled(backend, [model.kvHeads, 1], 0), range(backend, 0, keep), 'add');
  let scores = filled(backend, [model.kvHeads, length], 0);
  for (let start = keep; start < length; start += blockSize) {
    const before = [survivors, scores];
    scores = releasing(backend, (inner) => {
      const candidates = inner.zip(survivors, range(inner, start, start + blockSize), 'max');
      const penalty = inner.zip(inner.zip(candidates, 1, 'sub'), 1e30, 'mul');
      const weights = inner.reshape(inner.zip(candidates, all.lengths, 'div'), [model.kvHeads, 1, length]);
      const sum = inner.reshape(inner.matmul(weights, all.keys), [model.kvHeads, cache.headDim]);
      return inner.zip(difference(inner, all, unit(inner, sum)), penalty, 'add');
    });
    const latest = scores;
    survivors = releasing(backend, (inner) => inner.zip(bestFirst(inner, latest), keep, 'less'));
    for (const tensor of before) tensor.dispose();
  }
  return scores;
}
