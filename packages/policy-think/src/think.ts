import {
  type Compensation,
  type Decision,
  definePolicy,
  filled,
  gatherView,
  joinAttention,
  joinObservations,
  keptSlots,
  type LayerView,
  observed,
  type PolicyRun,
  type SequenceContext,
  uniformLayer,
  wrapping,
} from '@kvsift/policy';
import { full } from '@kvsift/policy-full';
import type { Backend, Selection, Tensor } from '@kvsift/tensor';
import { channelScores, keepChannels } from './channels.js';
import { attendNarrow } from './narrow-attention.js';
import { NarrowLayers } from './narrow-layers.js';

/** ThinK (specification 27). */
export const think = definePolicy({
  name: 'think',
  title: 'ThinK',
  idea: 'Few channels of the keys carry the logits. Drop, per head, those that the latest queries hardly use: every token stays, its key becomes narrower.',
  paper: {
    title: 'ThinK: Thinner Key Cache by Query-Driven Pruning',
    authors: 'Xu, Jie, Dong, Wang, Lu, Zhou, Saha, Xiong, Sahoo',
    venue: 'ICLR 2025',
    url: 'https://arxiv.org/abs/2407.21018',
  },
  parameters: {
    policy: {
      kind: 'policy',
      default: () => full(),
      description: 'What chooses the tokens first; the same number in every head.',
    },
    ratio: {
      kind: 'number',
      default: 0.4,
      min: 0,
      max: 0.99,
      unit: 'share of channels',
      description: 'Key channels that are dropped.',
    },
    window: { kind: 'integer', default: 32, min: 1, unit: 'tokens', description: 'Last queries that score the channels.' },
    recent: {
      kind: 'integer',
      default: 32,
      min: 1,
      unit: 'tokens',
      description: 'Last tokens that keep whole keys, as do all that come later.',
    },
  },
  budget: 'own',
  observes: 'rotated queries of the last `window` rows, keys, and what the wrapped policy observes',
  costs: 'kvHeads · n · headDim FLOPs and memory at prefill; decoding reads (1 − ratio / 2) of the old entries',
  phases: ['prefill', 'decode'],
  profiles: {
    reference: { description: 'ThinK release and KVCache-Factory.', parameters: { ratio: 0.4, window: 32, recent: 32 } },
  },
  deviations: [
    'Channels are chosen per KV head by the group mean of the squared queries; the release repeats keys to all query heads.',
    'kvpress sets channels to zero in all tokens and frees nothing; here old keys are stored with the kept channels only.',
    'Layers with a sliding window keep whole keys.',
  ],
  create: ({ policy, ratio, window, recent }) => {
    const begin = wrapping('think', policy, [
      'cascade',
      'decode',
      'compensation',
      'retrieval',
      'reread',
      'segments',
      'renumbering',
    ]);
    return {
      ragged: false,
      traits: ['compensation'] as const,
      begin(context) {
        const dropped = Math.trunc(context.model.headDim * ratio + 1e-9);
        const inner = begin(context);
        return dropped === 0 ? inner : narrowed(inner, context, { dropped, window, recent }, new NarrowLayers());
      },
    };
  },
});

interface Options {
  readonly dropped: number;
  readonly window: number;
  readonly recent: number;
}

function narrowed(inner: PolicyRun, context: SequenceContext, options: Options, layers: NarrowLayers): PolicyRun {
  const { fork, memory: _memory, ...rest } = inner;
  const { model, promptLength } = context;
  const whole = (layer: number) => model.windows?.[layer] !== undefined;
  const isNarrow = (layer: number) =>
    !whole(layer) && Math.min(inner.budgets[layer]?.perHead ?? promptLength, promptLength) > options.recent;
  const dispose = () => {
    layers.dispose();
    inner.dispose();
  };
  const compensates: Compensation = {
    correct(layer, backend, q, output, logSumExp) {
      const held = layers.get(layer);
      if (held === undefined) return output;
      return joinAttention(backend, { output, logSumExp }, attendNarrow(backend, q, held.narrow, held.softmax));
    },
  };
  return {
    ...rest,
    observe: joinObservations([inner.observe, { queries: { last: options.window } }]),
    // What is left in the cache itself: the other entries move to narrower storage.
    budgets: inner.budgets.map((budget, layer) => {
      const perHead = Math.min(budget.perHead, promptLength);
      return whole(layer) || perHead <= options.recent ? budget : uniformLayer(options.recent, model);
    }),
    async select(view) {
      const budget = inner.budgets[view.layer] ?? view.budget;
      const survivors = budget.total >= view.length * model.kvHeads ? 'all' : await inner.select({ ...view, budget });
      if (whole(view.layer) || Math.min(budget.perHead, view.length) <= options.recent) return survivors;
      return split(view, survivors, options, layers);
    },
    compensation: compensates,
    held: () => layers.held(),
    heldPositions: (layer) => layers.positions(layer),
    memory: layers.memory(model.headDim - options.dropped, isNarrow),
    fork: () => narrowed(fork === undefined ? inner : fork.call(inner), context, options, layers.fork()),
    dispose,
    [Symbol.dispose]: dispose,
  };
}

/** Moves all survivors but the recent ones to narrow storage; returns the recent ones. */
function split(view: LayerView, decision: Decision, { dropped, window, recent }: Options, layers: NarrowLayers): Decision {
  const { backend, cache, length, model } = view;
  const survivors = decision === 'all' ? undefined : 'selection' in decision ? decision : { selection: decision };
  const kept = survivors ? gatherView(backend, cache, survivors.selection) : cache;
  const old = kept.maxLength - recent;
  const keys = survivors?.keys ?? backend.kvRead(kept, 'keys');
  const channels = backend.top(channelScores(backend, observed(view, 'queries'), keys, window), {
    keep: model.headDim - dropped,
  });
  const first = (part: 'keys' | 'values') => {
    const made = survivors?.[part];
    return made === undefined ? backend.kvRead(kept, part, 0, old) : backend.slice(made, 1, 0, old);
  };
  const narrow = keepChannels(backend, { keys: first('keys'), values: first('values') }, channels, cache.dtype);
  layers.set(view, { ...narrow, ...(cache.positions && { positions: firstSlots(view, survivors?.selection, old) }) });
  const last = (x: Tensor) => backend.slice(x, 1, old, old + recent);
  return {
    selection: survivors
      ? lastSlots(backend, survivors.selection, old, recent)
      : backend.top(filled(backend, [model.kvHeads, length], 0), { keep: recent, protectLast: recent }),
    ...(survivors?.keys && { keys: last(survivors.keys) }),
    ...(survivors?.values && { values: last(survivors.values) }),
  };
}

/** The first `count` of each head's survivors, which are their positions in a prompt: i32 [kvHeads, count]. */
function firstSlots({ backend, model }: LayerView, selection: Selection | undefined, count: number): Tensor {
  if (selection !== undefined) return backend.toInt(backend.slice(keptSlots(backend, selection), 1, 0, count));
  const slots = Int32Array.from({ length: model.kvHeads * count }, (_, at) => at % count);
  return backend.upload(slots, 'i32', [model.kvHeads, count]);
}

/** The last `count` of each head's survivors. */
function lastSlots(backend: Backend, selection: Selection, skip: number, count: number): Selection {
  const slots = keptSlots(backend, selection);
  const [heads = 0] = slots.shape;
  const offsets = Int32Array.from({ length: heads + 1 }, (_, head) => head * count);
  return {
    indices: backend.toInt(backend.reshape(backend.slice(slots, 1, skip, skip + count), [heads * count])),
    offsets: backend.upload(offsets, 'i32', [heads + 1]),
    total: heads * count,
    perHead: count,
    maxPerHead: count,
  };
}
