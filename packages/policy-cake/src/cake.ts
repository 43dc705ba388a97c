import {
  beforeWindow,
  columnOptions,
  definePolicy,
  fitProtection,
  gatherColumns,
  knownLogSums,
  type LayerBudget,
  LayerTensors,
  type LayerView,
  lastRows,
  layerNumbers,
  observed,
  type PolicyRun,
  reduceGroups,
  resolveBudgets,
  type SequenceContext,
  windowAttention,
} from '@kvsift/policy';
import type { Selection, Tensor } from '@kvsift/tensor';
import { preferredShares } from './shares.js';

interface Options {
  readonly window: number;
  readonly kernelSize: number;
  readonly gamma: number;
  readonly spread: number;
  readonly shift: number;
  readonly decode: boolean;
}

/** CAKE (specification 24). */
export const cake = definePolicy({
  name: 'cake',
  title: 'CAKE',
  idea: 'Layers whose attention is spread out and shifts between queries need more entries. Share the whole budget by these two numbers, shrinking earlier layers as later ones arrive.',
  paper: {
    title: 'CAKE: Cascading and Adaptive KV Cache Eviction with Layer Preferences',
    authors: 'Qin, Cao, Lin, Hu, Fan, Cheng, Lin, Li',
    venue: 'ICLR 2025',
    url: 'https://arxiv.org/abs/2503.12491',
  },
  parameters: {
    window: {
      kind: 'integer',
      default: 32,
      min: 2,
      unit: 'tokens',
      description: 'Last queries that score; their tokens are always kept.',
    },
    kernelSize: { kind: 'integer', default: 5, min: 1, odd: true, unit: 'tokens', description: 'Width of the average pooling.' },
    gamma: { kind: 'number', default: 200, min: 0, description: 'Weight of the variance over queries beside the mean.' },
    spread: { kind: 'number', default: 1, min: 0.01, description: 'Temperature τ₁ of the dispersion; larger evens layers out.' },
    shift: { kind: 'number', default: 1, min: 0.01, description: 'Temperature τ₂ of the variance.' },
    decode: {
      kind: 'flag',
      default: false,
      description: 'Keep each layer at its size while decoding, by the attention of the new token, as the original does.',
    },
  },
  budget: 'own',
  observes: 'rotated queries of the last `window` rows',
  costs: '2 · queryHeads · window · n · headDim FLOPs, O(queryHeads · window · n) memory; two numbers are read back per layer',
  phases: ['prefill', 'decode'],
  deviations: [
    'The budget is exact over all layers, not in each.',
    'While the prompt is read, layers may hold a quarter of the budget too much before earlier ones shrink.',
    'Nothing is evicted while decoding, unless asked for: decode=true.',
  ],
  create: (options) => ({
    ragged: false,
    traits: options.decode ? (['cascade', 'decode'] as const) : (['cascade'] as const),
    begin: (context) => cascade(context, options),
  }),
});

/** Earlier layers may hold a part of the whole budget too much, one in this many, before they shrink. */
const slack = 4;

/** Layers seen so far share the whole budget; new ones make the earlier ones shrink. */
function cascade(context: SequenceContext, options: Options): PolicyRun {
  const budgets = resolveBudgets(context);
  const window = Math.min(
    ...budgets.map(({ perHead }) => fitProtection('cake', { first: 0, last: options.window }, perHead, context).last),
  );
  const past = context.promptLength - window;
  const total = budgets.reduce((sum, { perHead }) => sum + perHead - window, 0);
  /** 0 for a layer that a sliding window has cut to its budget: it was never measured. */
  const preferences = budgets.map(() => 0);
  const sharesUpTo = (layer: number) => preferredShares(preferences.slice(0, layer + 1), total, past);
  const held: number[] = [];
  /** Entries besides the window that a layer is kept at while decoding. */
  const sizes = new Map(budgets.map(({ perHead }, layer) => [layer, perHead - window]));
  const scores = new LayerTensors();
  /** Cuts a layer to `count` entries besides the window and keeps their scores. */
  const shrink = (view: LayerView, own: Tensor, count: number): Selection => {
    const selection = view.backend.top(own, { keep: count + window, protectLast: window });
    scores.set(view.layer, view.keep(gatherColumns(view, own, selection)));
    held[view.layer] = count;
    sizes.set(view.layer, count);
    return selection;
  };
  const dispose = () => scores.dispose();
  return {
    ...(options.decode && whileDecoding(budgets, { kernelSize: options.kernelSize, window, past }, sizes)),
    observe: { queries: { last: options.window } },
    budgets,
    async select(view) {
      const { tokenScores, preference } = await measure(view, options, window);
      preferences[view.layer] = preference;
      const share = sharesUpTo(view.layer)[view.layer] ?? 0;
      return shrink(view, tokenScores, Math.min(share, view.length - window));
    },
    revise(layer, viewOf) {
      const shares = sharesUpTo(layer);
      // Layer by layer the first ones would be copied again for each of the last ones.
      const excess = shares.reduce((sum, share, earlier) => sum + Math.max(0, (held[earlier] ?? 0) - share), 0);
      if (excess * slack < total && layer < context.model.layers - 1) return [];
      return shares.flatMap((share, earlier) => {
        const own = scores.get(earlier);
        if (earlier >= layer || own === undefined || share >= (held[earlier] ?? 0)) return [];
        return [{ layer: earlier, decision: shrink(viewOf(earlier), own, share) }];
      });
    },
    dispose,
    [Symbol.dispose]: dispose,
  };
}

/** Every layer stays at its size: the new token's attention says which entry before the window goes. */
function whileDecoding(
  budgets: readonly LayerBudget[],
  options: Pick<Options, 'kernelSize' | 'window'> & { readonly past: number },
  sizes: Map<number, number>,
): Pick<PolicyRun, 'decode' | 'memory' | 'fork'> {
  const { kernelSize, window } = options;
  const largest = Math.max(options.past, ...budgets.map(({ perHead }) => perHead));
  return {
    decode: {
      observe: { queries: { last: 1 } },
      step(view) {
        const { backend, layer, length, model } = view;
        const keep = (sizes.get(layer) ?? length) + window;
        if (length <= keep) return 'all';
        const paid = backend.slice(windowAttention(view, 1), 1, 0, length - window);
        const pooled = kernelSize === 1 ? paid : backend.pool(paid, kernelSize, 'average');
        const votes = beforeWindow(backend, reduceGroups(backend, pooled, model.kvHeads), window);
        return backend.top(votes, { keep, protectLast: window });
      },
    },
    memory: layerNumbers(sizes, largest),
    fork: () => ({
      observe: {},
      budgets,
      select: () => 'all',
      ...whileDecoding(budgets, options, new Map(sizes)),
      dispose() {},
      [Symbol.dispose]() {},
    }),
  };
}

/** Scores mean + γ · variance, pooled, f32 [kvHeads, n]; and the layer's preference dispersion^(1/τ₁) · variance^(1/τ₂). */
export async function measure(
  view: LayerView,
  options: Omit<Options, 'decode'>,
  window: number,
): Promise<{ tokenScores: Tensor; preference: number; dispersion: number; variance: number }> {
  const { backend, cache, length, model } = view;
  const queries = lastRows(backend, observed(view, 'queries'), options.window);
  const [rows = 0] = queries.shape;
  const all = backend.attentionRows(queries, cache, { ...columnOptions(view, rows), ...knownLogSums(view, rows) });
  const before = (x: Tensor) => backend.slice(x, 1, 0, length - window);
  const varied = before(backend.reduce(all, 1, 'variance'));
  const surprise = before(backend.evaluate(['mul', all, ['log', ['add', all, 1e-10]]], { axis: 1, op: 'sum' }));
  const sum = (x: Tensor) => backend.reshape(backend.reduce(backend.reduce(x, 1, 'sum'), 0, 'sum'), [1]);
  const [spread = 0, variance = 0] = await backend.concat([sum(surprise), sum(varied)], 0).read();
  const dispersion = -spread;
  const votes = backend.evaluate(['add', before(backend.reduce(all, 1, 'mean')), ['mul', varied, options.gamma]]);
  const pooled = options.kernelSize === 1 ? votes : backend.pool(votes, options.kernelSize, 'average');
  return {
    tokenScores: beforeWindow(backend, reduceGroups(backend, pooled, model.kvHeads), window),
    preference: dispersion ** (1 / options.spread) * variance ** (1 / options.shift),
    dispersion,
    variance,
  };
}
