import {
  columnOptions,
  definePolicy,
  entryRow,
  FollowedScores,
  keepBest,
  type LayerView,
  lastRows,
  observed,
  reduceGroups,
  resolveBudgets,
  type ScoreRun,
} from '@kvsift/policy';
import type { Tensor } from '@kvsift/tensor';

const parameters = {
  window: { kind: 'integer', default: 32, min: 1, unit: 'tokens', description: 'Recent tokens that are always kept.' },
  mask: {
    kind: 'choice',
    choices: ['causal', 'window'] as const,
    default: 'causal',
    description: 'window: the old NTK-KV mask, causal only inside the last window; earlier rows see the future. For parity only.',
  },
  groupReduction: {
    kind: 'choice',
    choices: ['mean', 'max', 'sum'] as const,
    default: 'mean',
    description: 'How the query heads of a group agree on one score.',
  },
} as const;

/** H2O (specification 5a, 5b): heavy hitters, by the attention of all queries so far. */
export const h2o = definePolicy({
  name: 'h2o',
  title: 'H2O',
  idea: 'Few tokens receive most of the attention over time. Keep these heavy hitters and the most recent tokens.',
  paper: {
    title: 'H2O: Heavy-Hitter Oracle for Efficient Generative Inference of Large Language Models',
    authors: 'Zhang, Sheng, Zhou, Chen, Zheng, Cai, Song, Tian, Re, Barrett, Wang, Chen',
    venue: 'NeurIPS 2023',
    url: 'https://arxiv.org/abs/2306.14048',
  },
  parameters,
  observes: 'column sums of the attention of all rows',
  costs: 'a weighted sum beside the attention (with mask=window a second pass over the scores), O(queryHeads · n) memory',
  phases: ['prefill', 'decode'],
  profiles: {
    factory: { description: 'KVCache-Factory scripts, kv_head mode.', parameters: { window: 8 } },
    ntk: { description: 'NTK-KV repository, whose mask sees the future.', parameters: { mask: 'window' } },
  },
  deviations: [
    'Scores are group means per KV head; the references repeat keys to all query heads.',
    'The recent part is a number of tokens; the original takes half of the budget.',
  ],
  create: ({ window, mask, groupReduction }) =>
    keepBest('h2o', {
      protect: { first: 0, last: window },
      allocate: resolveBudgets,
      start: () => {
        const sums = (view: LayerView) => (mask === 'causal' ? columnSums(view) : windowMasked(view, window));
        return accumulated(
          (view) => reduceGroups(view.backend, sums(view), view.model.kvHeads, groupReduction),
          mask === 'causal',
        );
      },
    }),
});

/** Observed attention (specification 5c): as kvpress scores it, the mean over the queries that can see an entry. */
export const observedAttention = definePolicy({
  name: 'observed-attention',
  title: 'Observed attention',
  idea: 'Keep what the prompt itself attended to, averaged over the queries that could see it. Nothing is protected.',
  source: 'kvpress ObservedAttentionPress',
  parameters: {},
  observes: 'rotated queries of all rows and their log-sum-exp',
  costs: 'a weighted sum beside the attention, O(queryHeads · n) memory',
  phases: ['prefill'],
  create: () =>
    keepBest('observed-attention', {
      protect: { first: 0, last: 0 },
      allocate: resolveBudgets,
      start: () => ({
        observe: { columnSums: true },
        score(view) {
          const { backend, length, model } = view;
          const watchers = entryRow(backend, length, (entry) => length - entry);
          return backend.zip(reduceGroups(backend, columnSums(view), model.kvHeads), watchers, 'div');
        },
      }),
    }),
});

/** Probability that each entry got from all queries that see it: f32 [queryHeads, n]. While decoding, from the new queries. */
function columnSums(view: LayerView): Tensor {
  const { backend, cache } = view;
  const added = () => {
    const q = observed(view, 'queries');
    return backend.attentionColumns(q, cache, 'sum', columnOptions(view, q.shape[0] ?? 0));
  };
  return view.columnSums ?? added();
}

/** Rows before the window see everything, the window's rows what they should. */
function windowMasked(view: LayerView, window: number): Tensor {
  const { backend, cache } = view;
  const q = observed(view, 'queries');
  const [rows = 0] = q.shape;
  const before = Math.max(0, rows - window);
  const causal = backend.attentionColumns(lastRows(backend, q, window), cache, 'sum', columnOptions(view, rows - before));
  if (before === 0) return causal;
  const { behind: _behind, ...open } = columnOptions(view, before, { mask: 'none', behind: rows - before });
  return backend.zip(backend.attentionColumns(backend.slice(q, 0, 0, before), cache, 'sum', open), causal, 'add');
}

/** Scores that the survivors keep and every later token adds to (block form of 5b: new entries start at 0, all new rows are added). */
function accumulated(gain: (view: LayerView) => Tensor, fused: boolean, held = new FollowedScores()): ScoreRun {
  const add = (view: LayerView): Tensor => view.backend.zip(held.read(view), gain(view), 'add');
  return {
    observe: fused ? { columnSums: true } : { queries: 'all' },
    score: (view) => (held.complete(view) ? held.read(view) : add(view)),
    kept: (view, scores, selection) => held.follow(view, scores, selection),
    decode: {
      observe: { queries: { last: 1 } },
      ties: 'later',
      step: (view) => held.write(view, add(view)),
      repeats: true,
    },
    fork: () => accumulated(gain, fused, held.fork()),
    memory: held.memory,
    dispose: () => held.dispose(),
  };
}
