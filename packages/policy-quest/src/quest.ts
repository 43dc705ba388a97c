import {
  below,
  definePolicy,
  demandNumber,
  demandTensor,
  joinStorages,
  LayerTensors,
  type LayerView,
  layerNumbers,
  layersNamed,
  type PolicyRun,
  type RunMemory,
  refuseOthers,
  resolveBudgets,
  type SavedState,
  type Standing,
  uniformLayer,
} from '@kvsift/policy';
import type { Selection } from '@kvsift/tensor';
import { extendBounds, type PageBounds, type PageReduction, upperBounds } from './pages.js';

/** Quest (specification 20): the retrieval baseline. */
export const quest = definePolicy({
  name: 'quest',
  title: 'Quest',
  idea: 'Evict nothing. For each decoded token read only the pages whose keys could give the highest products with its query.',
  paper: {
    title: 'Quest: Query-Aware Sparsity for Efficient Long-Context LLM Inference',
    authors: 'Tang, Zhao, Zhu, Xiao, Kasikci, Han',
    venue: 'ICML 2024',
    url: 'https://arxiv.org/abs/2406.10774',
  },
  parameters: {
    pageSize: { kind: 'integer', default: 16, min: 1, unit: 'entries', description: 'Entries that share one bound.' },
    groupReduction: {
      kind: 'choice',
      choices: ['max', 'mean', 'none'] as const,
      default: 'max',
      description: 'How the query heads of a group agree on the bound of a page; none: each reads pages of its own.',
    },
    fullLayers: { kind: 'integer', default: 2, min: 0, unit: 'layers', description: 'First layers that read everything.' },
  },
  budget: 'own',
  observes: 'the query of each decode step, keys',
  costs: '2 · queryHeads · headDim · pages FLOPs per step, and a copy of the chosen entries; nothing is freed',
  phases: ['decode'],
  profiles: {
    reference: { description: 'Quest kernels: every query head reads pages of its own.', parameters: { groupReduction: 'none' } },
  },
  deviations: [
    'By default pages are chosen per KV head by the bounds of its query heads together; the original chooses per query head: groupReduction=none.',
    'The budget is what a step reads, at least three pages; memory is that of the full cache.',
  ],
  create: ({ pageSize, fullLayers, groupReduction }) => ({
    ragged: false,
    traits: ['retrieval'] as const,
    begin(context) {
      const budgets = resolveBudgets(context).map(({ perHead }) => perHead);
      const whole = budgets.map(() => uniformLayer(context.promptLength, context.model));
      return new QuestRun(whole, budgets, { pageSize, fullLayers, groupReduction });
    },
  }),
});

interface QuestOptions {
  readonly pageSize: number;
  readonly fullLayers: number;
  readonly groupReduction: PageReduction;
}

class QuestRun implements PolicyRun {
  readonly observe = {};
  readonly retrieval = { choose: (view: LayerView) => this.#choose(view) };
  readonly memory: RunMemory;
  readonly #covered: Map<number, number>;

  constructor(
    readonly budgets: PolicyRun['budgets'],
    private readonly reads: readonly number[],
    private readonly options: QuestOptions,
    private readonly low = new LayerTensors(),
    private readonly high = new LayerTensors(),
    covered: ReadonlyMap<number, number> = new Map(),
  ) {
    this.#covered = new Map(covered);
    this.memory = joinStorages(
      { low: low.storage, high: high.storage, covered: layerNumbers(this.#covered, 0) },
      (state, standing) => this.#checkPages(state, standing),
    );
  }

  select(): 'all' {
    return 'all';
  }

  fork(): PolicyRun {
    const { budgets, reads, options, low, high } = this;
    return new QuestRun(budgets, reads, options, low.fork(), high.fork(), this.#covered);
  }

  /** Bounds of a page that lost entries are made anew. */
  rollback(tokens: number): void {
    for (const [layer, covered] of this.#covered) this.#covered.set(layer, Math.max(0, covered - tokens));
  }

  dispose(): void {
    this.low.dispose();
    this.high.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** Bounds belong to entries that there are; after a rollback there may be more pages. @throws KvsiftError `file_malformed` */
  #checkPages(state: SavedState, standing: Standing): void {
    const { model, lengths } = standing;
    const layers = layersNamed(below('covered', state.numbers), standing);
    refuseOthers(state, (name) => layers.some((layer) => ['low', 'high', 'covered'].some((part) => name === `${part}.${layer}`)));
    for (const layer of layers) {
      const covered = demandNumber(state, `covered.${layer}`, [0, lengths[layer] ?? 0]);
      const shape = [
        model.kvHeads,
        [Math.floor(covered / this.options.pageSize), Number.POSITIVE_INFINITY],
        model.headDim,
      ] as const;
      for (const part of ['low', 'high']) demandTensor(state, `${part}.${layer}`, { dtype: 'f32', shape });
    }
  }

  /** Whole pages, the newest always among them. */
  #choose(view: LayerView): Selection | 'all' {
    const { backend, layer, length, queries } = view;
    const pages = Math.max(3, Math.floor((this.reads[layer] ?? length) / this.options.pageSize));
    const all = Math.ceil(length / this.options.pageSize);
    const covered = (this.reads[layer] ?? length) >= length;
    if (
      layer < this.options.fullLayers ||
      covered ||
      pages >= all ||
      queries === undefined ||
      view.attention.window !== undefined
    )
      return 'all';
    const bounds = this.#bounds(view);
    const scores = upperBounds(backend, queries, bounds, this.options.groupReduction);
    const [heads = 0] = scores.shape;
    const newest = length - (all - 1) * this.options.pageSize;
    // Every entry has its page's bound; entries of a page are equal, so whole pages win.
    const spread = backend.zip(
      backend.reshape(scores, [heads, all, 1]),
      backend.upload(new Float32Array(this.options.pageSize), 'f32', [1, 1, this.options.pageSize]),
      'add',
    );
    const entries = backend.slice(backend.reshape(spread, [heads, all * this.options.pageSize]), 1, 0, length);
    return backend.top(entries, { keep: (pages - 1) * this.options.pageSize + newest, protectLast: newest });
  }

  #bounds(view: LayerView): PageBounds {
    const { layer } = view;
    const [low, high, covered] = [this.low.get(layer), this.high.get(layer), this.#covered.get(layer)];
    const before = low && high && covered !== undefined ? { low, high, covered } : undefined;
    const bounds = extendBounds(view, this.options.pageSize, before);
    this.low.set(layer, view.keep(bounds.low));
    this.high.set(layer, view.keep(bounds.high));
    this.#covered.set(layer, bounds.covered);
    return bounds;
  }
}
