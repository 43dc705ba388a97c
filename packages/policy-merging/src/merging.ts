import {
  chain,
  type Decision,
  definePolicy,
  gatherColumns,
  gatherEntries,
  type LayerView,
  narrowView,
  type Observation,
  type ObservedRows,
  type PolicyRun,
  wrapping,
} from '@kvsift/policy';
import type { Tensor } from '@kvsift/tensor';
import { entryAttention, gatherEvicted, type Merge, mergesKeys, readsAttention } from './weights.js';

/** Merging (specification 30): what is evicted changes the kept entries that resemble it or follow it. */
export const merging = definePolicy({
  name: 'merging',
  title: 'Cache merging',
  idea: 'Instead of losing evicted entries, add them to kept ones: to the nearest key, or to the next tokens. The kept set is that of the wrapped policy.',
  source:
    'CaM (OpenReview LCTmppB165), D2O (arXiv 2406.13035), KeepKV (arXiv 2504.09936), LOOK-M (arXiv 2406.18139), KVMerger (arXiv 2407.08454), kvpress MergingPress',
  parameters: {
    policy: { kind: 'policy', description: 'What chooses the survivors; the same number in every head.' },
    method: {
      kind: 'choice',
      choices: ['values', 'weighted', 'pivot', 'd2o', 'keepkv', 'cam'] as const,
      default: 'values',
      description:
        'values: kvpress, values only by cosine and length. weighted (KVMerger), pivot (LOOK-M), d2o: keys and values of the nearest key. keepkv: values by attention. cam: values to the next tokens, drawn at random.',
    },
    threshold: {
      kind: 'number',
      default: 0,
      min: -1,
      max: 2,
      unit: 'cosine',
      description: 'Least similarity that merges; above 1 nothing does. d2o takes the mean of the evicted entries instead.',
    },
    fraction: {
      kind: 'number',
      default: 1,
      min: 0,
      max: 1,
      unit: 'share of evicted entries',
      description: 'Only so many of a head’s evicted entries merge, those most like a kept one; not for cam.',
    },
    neighbours: {
      kind: 'integer',
      default: 32,
      min: 1,
      unit: 'entries',
      description: 'cam: kept entries behind an evicted one that share its value.',
    },
    reference: {
      kind: 'choice',
      choices: ['next', 'most'] as const,
      default: 'next',
      description:
        'cam: what an evicted entry’s attention is compared with. next: the mean of those that would share its value; most: the largest among the first `sinks` and the last `window` entries.',
    },
    sinks: { kind: 'integer', default: 4, min: 0, unit: 'tokens', description: 'cam with reference=most: first tokens.' },
    draw: {
      kind: 'flag',
      default: true,
      description: 'cam: the comparison is a probability; false: an entry merges where it got more.',
    },
    window: {
      kind: 'integer',
      default: 32,
      min: 1,
      unit: 'tokens',
      description: 'cam, keepkv: last queries whose attention counts.',
    },
  },
  observes: 'what the wrapped policy observes; for cam and keepkv the rotated queries of the last `window` rows',
  costs: '2 · kvHeads · n · kept · headDim FLOPs, O(kvHeads · (n + 128 · kept)) memory',
  phases: ['prefill', 'decode'],
  profiles: {
    kvpress: { description: 'kvpress MergingPress.', parameters: { method: 'values' } },
    cam: { description: 'CaM repository, generation with Llama.', parameters: { method: 'cam', neighbours: 32 } },
    'cam-factory': {
      description: 'CaM as KVCache-Factory has it; neighbours and window are both that of the wrapped policy there.',
      parameters: { method: 'cam', reference: 'most', window: 8, neighbours: 8 },
    },
  },
  deviations: [
    'd2o judges each head by itself and each eviction anew; the original averages over heads and moves one threshold along.',
    'cam goes by the attention of the last queries; the original by that of the current step: merging(decoding(streaming-llm), method=cam, window=1).',
    'keepkv keeps keys as they are and mixes values by their attention: the paper also merges keys.',
    'Layers with a sliding window merge nothing: what has left the window must stay out of sight.',
    'Averaging rotated keys of different positions (pivot, weighted, d2o) follows the references, though it is doubtful.',
  ],
  create: ({ policy, ...merge }) => {
    const { method } = merge;
    const begin = wrapping('merging', policy, [
      'cascade',
      'compensation',
      'retrieval',
      'reread',
      'segments',
      'merging',
      // What is evicted has not turned with the survivors: their keys do not mix.
      ...(mergesKeys(method) ? (['renumbering'] as const) : []),
    ]);
    return {
      ragged: false,
      traits: [...(policy.traits ?? []), 'merging'] as const,
      begin: (context) => mergingRun(begin(context), merge),
    };
  },
});

function mergingRun(inner: PolicyRun, merge: Merge): PolicyRun {
  const { fork: _fork, ...run } = inner;
  const { decode, fork } = inner;
  const watching = (observe: Observation): Observation =>
    readsAttention(merge.method) ? { ...observe, queries: longer(observe.queries, merge.window) } : observe;
  return {
    ...run,
    observe: watching(inner.observe),
    select: async (view) => merged(view, await inner.select(only(view, inner.observe)), merge),
    ...(decode && {
      decode: {
        observe: watching(decode.observe),
        // CaM draws anew in each step.
        repeats: decode.repeats === true && merge.method !== 'cam',
        step: (view) => chain(decode.step(only(view, decode.observe)), (decision) => merged(view, decision, merge)),
        ...(decode.read && { read: async (view) => decode.read?.(view) }),
      },
    }),
    ...(fork && { fork: () => mergingRun(fork.call(inner), merge) }),
  };
}

/** A view with no more rows than the wrapped policy asked for: some count every row that they see. */
function only(view: LayerView, observe: Observation): LayerView {
  return narrowView(view, observe, view.budget, view.backend);
}

function longer(rows: ObservedRows | undefined, window: number): ObservedRows {
  if (rows === 'all') return rows;
  return { last: Math.max(window, rows === undefined || rows === 'none' ? 0 : rows.last) };
}

/** The survivors with what was evicted added to them. */
function merged(view: LayerView, decision: Decision, merge: Merge): Decision {
  if (decision === 'all' || view.attention.window !== undefined) return decision;
  const survivors = 'selection' in decision ? decision : { selection: decision };
  const { selection } = survivors;
  if (selection.total >= view.length * view.model.kvHeads) return decision;
  const { backend, model } = view;
  const kept = gatherEntries(view, selection);
  const sum = gatherEvicted(view, kept, selection, merge);
  const blend = (own: Tensor, added: Tensor, base: Tensor | number, divisor: Tensor) =>
    backend.zip(backend.zip(backend.zip(own, base, 'mul'), added, 'add'), divisor, 'div');
  const keys = survivors.keys ?? kept.keys;
  const more = (x: Tensor) => backend.zip(x, 1, 'add');
  switch (merge.method) {
    case 'cam':
      return { ...survivors, values: backend.zip(kept.values, sum.values, 'add') };
    case 'values':
      return { ...survivors, values: blend(kept.values, sum.values, 1, more(sum.weight)) };
    case 'keepkv': {
      const paid = gatherColumns(view, entryAttention(view, merge.window), selection);
      const base = backend.zip(backend.reshape(paid, [model.kvHeads, paid.shape[1] ?? 0, 1]), 1e-12, 'add');
      return { ...survivors, values: blend(kept.values, sum.values, base, backend.zip(base, sum.weight, 'add')) };
    }
    case 'weighted':
      return {
        selection,
        keys: blend(keys, sum.keys, 1, more(sum.weight)),
        values: blend(kept.values, sum.values, 1, more(sum.weight)),
      };
    case 'd2o':
      return {
        selection,
        keys: blend(keys, sum.keys, 1, more(sum.count)),
        values: blend(kept.values, sum.values, 1, more(sum.count)),
      };
    case 'pivot': {
      // Each evicted entry meets its target half-way.
      const base = more(backend.zip(sum.count, 2, 'div'));
      const half = (x: Tensor) => backend.zip(x, 2, 'div');
      return {
        selection,
        keys: blend(keys, half(sum.keys), base, more(sum.count)),
        values: blend(kept.values, half(sum.values), base, more(sum.count)),
      };
    }
  }
}
