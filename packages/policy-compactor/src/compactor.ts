import { definePolicy, filled, keepBest, type LayerView, resolveBudgets } from '@kvsift/policy';
import type { Backend, Tensor } from '@kvsift/tensor';
import { gaussianSketch, leverageScores } from './leverage.js';
import { noncausalScores } from './noncausal.js';

const paper = {
  title: 'Compactor: Calibrated Query-Agnostic KV Cache Compression with Approximate Leverage Scores',
  authors: 'Chari, Van Durme',
  venue: 'arXiv 2025',
  url: 'https://arxiv.org/abs/2507.08143',
} as const;
const sketchParameter = {
  kind: 'integer',
  default: 48,
  min: 1,
  unit: 'dimensions',
  description: 'Columns of the Gaussian sketch of the keys.',
} as const;
const chunkParameter = {
  kind: 'integer',
  default: 256,
  min: 1,
  unit: 'tokens',
  description: 'Queries and keys of a chunk see each other.',
} as const;

/** Leverage alone (specification 32). */
export const leverage = definePolicy({
  name: 'leverage',
  title: 'Leverage scores',
  idea: 'Keys before rotation that point where few others do are outliers worth keeping: their statistical leverage, through a random sketch.',
  paper,
  parameters: { sketch: sketchParameter },
  seeded: true,
  observes: 'keys before rotation',
  costs: '2 · kvHeads · n · headDim · sketch FLOPs; one read-back of kvHeads · sketch² numbers',
  phases: ['prefill'],
  create: ({ sketch }) =>
    keepBest('leverage', {
      protect: { first: 0, last: 0 },
      allocate: resolveBudgets,
      start: () => ({
        observe: { keysBeforeRotation: true },
        score: async (view) => standardised(view.backend, await leverageScores(view, gaussianSketch(view, sketch))),
      }),
    }),
});

/** Non-causal attention alone (specification 32). */
export const noncausal = definePolicy({
  name: 'noncausal',
  title: 'Non-causal attention',
  idea: 'Without the causal mask every key of a chunk is judged by all its queries. Column sums of that attention, weighted by the value’s norm.',
  paper,
  parameters: { chunk: chunkParameter },
  observes: 'rotated queries of all rows, keys, values',
  costs: '2 · queryHeads · n · chunk · headDim FLOPs, O(queryHeads · chunk²) memory',
  phases: ['prefill'],
  create: ({ chunk }) =>
    keepBest('noncausal', {
      protect: { first: 0, last: 0 },
      allocate: resolveBudgets,
      start: () => ({
        observe: { queries: 'all' },
        score: (view) => standardised(view.backend, noncausalScores(view, chunk)),
      }),
    }),
});

/** Compactor (specification 32, 37). */
export const compactor = definePolicy({
  name: 'compactor',
  title: 'Compactor',
  idea: 'Blend the leverage of keys with non-causal attention, both as z-scores; the first and last few tokens are protected.',
  paper,
  parameters: {
    sketch: sketchParameter,
    chunk: chunkParameter,
    sinks: { kind: 'integer', default: 8, min: 0, unit: 'tokens', description: 'First tokens that are always kept.' },
    recent: { kind: 'integer', default: 4, min: 0, unit: 'tokens', description: 'Last tokens that are always kept.' },
    blending: {
      kind: 'number',
      default: -1,
      min: -1,
      description: 'Weight of the leverage; −1 is the share of the prompt that is removed.',
    },
  },
  seeded: true,
  observes: 'queries of all rows, keys before and after rotation, values',
  costs: 'those of leverage and noncausal',
  phases: ['prefill'],
  profiles: { kvpress: { description: 'kvpress CompactorPress.', parameters: {} } },
  deviations: ['Protected entries are protected by a mask; in kvpress they score the maximum and can tie.'],
  create: ({ sketch, chunk, sinks, recent, blending }) =>
    keepBest('compactor', {
      protect: { first: sinks, last: recent },
      allocate: resolveBudgets,
      start: () => ({
        observe: { queries: 'all', keysBeforeRotation: true },
        async score(view) {
          const weight = blending >= 0 ? blending : 1 - view.budget.perHead / view.length;
          return compactorScores(view, gaussianSketch(view, sketch), { chunk, sinks, recent, weight });
        },
      }),
    }),
});

/** weight · z(leverage) + z(non-causal attention) of the entries between sinks and recents, 0 at those: f32 [kvHeads, n]. */
export async function compactorScores(
  view: LayerView,
  sketch: Tensor,
  options: { readonly chunk: number; readonly sinks: number; readonly recent: number; readonly weight: number },
): Promise<Tensor> {
  const { backend, length, model } = view;
  const { chunk, sinks, recent, weight } = options;
  const end = length - recent;
  if (end <= sinks) return filled(backend, [model.kvHeads, length], 0);
  const outliers = standardised(backend, await leverageScores(view, sketch, sinks, end));
  const attended = standardised(backend, noncausalScores(view, chunk, sinks, end));
  const scores = backend.zip(backend.zip(outliers, weight, 'mul'), attended, 'add');
  return backend.concat([filled(backend, [model.kvHeads, sinks], 0), scores, filled(backend, [model.kvHeads, recent], 0)], 1);
}

/** (x − mean) / deviation over all heads together, divisor count − 1. */
export function standardised(backend: Backend, x: Tensor): Tensor {
  const [heads = 0, length = 0] = x.shape;
  const flat = backend.reshape(x, [1, heads * length]);
  const column = (statistic: 'mean' | 'variance') => backend.reshape(backend.reduce(flat, 1, statistic), [1, 1]);
  const deviation = backend.zip(backend.map(column('variance'), 'sqrt'), 1e-6, 'max');
  return backend.zip(backend.zip(x, column('mean'), 'sub'), deviation, 'div');
}
