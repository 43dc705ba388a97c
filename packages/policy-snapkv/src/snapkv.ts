import {
  beforeWindow,
  columnOptions,
  definePolicy,
  filled,
  type GroupReduction,
  keepBest,
  type LayerView,
  lastRows,
  observed,
  reduceGroups,
  resolveBudgets,
  windowAttention,
} from '@kvsift/policy';
import type { Tensor } from '@kvsift/tensor';

interface Voting {
  readonly window: number;
  readonly kernelSize: number;
  readonly pooling: 'average' | 'max';
  readonly groupReduction: GroupReduction;
  readonly windowReduction: 'mean' | 'sum';
  readonly order: 'group-pool' | 'pool-group' | 'rows';
}

/** SnapKV (specification 6). */
export const snapkv = definePolicy({
  name: 'snapkv',
  title: 'SnapKV',
  idea: 'The last queries of the prompt know what the answer needs. Their attention, smoothed over neighbours, votes for the entries to keep.',
  paper: {
    title: 'SnapKV: LLM Knows What You are Looking for Before Generation',
    authors: 'Li, Huang, Yang, Venkitesh, Locatelli, Ye, Cai, Lewis, Chen',
    venue: 'NeurIPS 2024',
    url: 'https://arxiv.org/abs/2404.14469',
  },
  parameters: {
    window: {
      kind: 'integer',
      default: 32,
      min: 1,
      unit: 'tokens',
      description: 'Last queries that vote; their tokens are always kept.',
    },
    kernelSize: {
      kind: 'integer',
      default: 5,
      min: 1,
      odd: true,
      unit: 'tokens',
      description: 'Width of the pooling that pulls in neighbours.',
    },
    pooling: {
      kind: 'choice',
      choices: ['average', 'max'] as const,
      default: 'average',
      description: 'Average damps single peaks; max keeps whole neighbourhoods and makes ties.',
    },
    groupReduction: {
      kind: 'choice',
      choices: ['mean', 'max', 'sum'] as const,
      default: 'mean',
      description: 'How the query heads of a group agree on one score.',
    },
    windowReduction: {
      kind: 'choice',
      choices: ['mean', 'sum'] as const,
      default: 'mean',
      description: 'Over the window; changes the scale of the scores, never the selection.',
    },
    order: {
      kind: 'choice',
      choices: ['group-pool', 'pool-group', 'rows'] as const,
      default: 'group-pool',
      description: 'Group reduction before or after pooling; rows: pool each query row first (the order of the AdaKV paper).',
    },
  },
  observes: 'rotated queries of the last `window` rows',
  costs: '2 · queryHeads · window · n · headDim FLOPs, O(queryHeads · n) memory',
  phases: ['prefill', 'decode'],
  profiles: {
    paper: {
      description: 'FasterDecoding LongBench settings.',
      parameters: { window: 32, kernelSize: 7, pooling: 'max', windowReduction: 'sum' },
    },
    reference: {
      description: 'FasterDecoding class defaults.',
      parameters: { window: 64, kernelSize: 5, pooling: 'average', windowReduction: 'sum' },
    },
    factory: {
      description: 'KVCache-Factory scripts, kv_head mode.',
      parameters: { window: 8, kernelSize: 7, pooling: 'max', windowReduction: 'sum' },
    },
    adakv: { description: 'AdaKV repository with gqa_support.', parameters: { window: 32, kernelSize: 7, pooling: 'max' } },
    kvpress: {
      description: 'kvpress SnapKVPress.',
      parameters: { window: 64, kernelSize: 5, pooling: 'average', order: 'pool-group' },
    },
  },
  deviations: [
    'Scores are reduced to KV heads; FasterDecoding repeats keys and values to all query heads and keeps a set for each.',
    'The window is protected by a mask, not by a score above the maximum.',
  ],
  create: (voting) =>
    keepBest('snapkv', {
      protect: { first: 0, last: voting.window },
      allocate: resolveBudgets,
      start: () => {
        const observe = { queries: { last: voting.window } } as const;
        return { observe, decode: { observe, repeats: true }, score: (view) => voteScores(view, voting) };
      },
    }),
});

/** f32 [kvHeads, length]: pooled votes for the entries before the window, 0 inside it. */
function voteScores(view: LayerView, voting: Voting): Tensor {
  const { backend, length, model } = view;
  const { window, kernelSize, groupReduction, order } = voting;
  const kind = voting.pooling;
  const past = length - window;
  if (past <= 0) return filled(backend, [model.kvHeads, length], 0);
  const pool = (x: Tensor) => (kernelSize === 1 ? x : backend.pool(x, kernelSize, kind));
  const group = (x: Tensor) => reduceGroups(backend, x, model.kvHeads, groupReduction);
  if (order === 'rows') {
    const q = lastRows(backend, observed(view, 'queries'), window);
    const rows = backend.attentionRows(q, view.cache, columnOptions(view, q.shape[0] ?? 0));
    const pooled = pool(backend.slice(rows, 2, 0, past));
    return beforeWindow(backend, group(backend.reduce(pooled, 1, voting.windowReduction)), window);
  }
  const sums = backend.slice(windowAttention(view, window), 1, 0, past);
  const rows = Math.min(window, view.queries?.shape[0] ?? window);
  const votes = voting.windowReduction === 'mean' ? backend.zip(sums, rows, 'div') : sums;
  return beforeWindow(backend, order === 'group-pool' ? pool(group(votes)) : group(pool(votes)), window);
}
