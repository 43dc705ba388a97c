import {
  definePolicy,
  demandLayers,
  entryRow,
  filled,
  keepBest,
  type LayerView,
  overEntries,
  resolveBudgets,
  type Scoring,
  type SequenceContext,
  uniformLayer,
} from '@kvsift/policy';
import { type Backend, type Formula, KvsiftError, type Tensor } from '@kvsift/tensor';

/** LagKV (specification 14). */
export const lagkv = definePolicy({
  name: 'lagkv',
  title: 'LagKV',
  idea: 'Normalise keys and values of a partition by the range of the next one. Tokens whose channels then vary most are kept; attention is not needed.',
  paper: {
    title: 'LagKV: Lag-Relative Information of the KV Cache Tells Which Tokens Are Important',
    authors: 'Liang, Zhang, Li, Li',
    venue: 'arXiv 2025',
    url: 'https://arxiv.org/abs/2504.04704',
  },
  parameters: {
    sinks: { kind: 'integer', default: 4, min: 0, unit: 'tokens', description: 'First tokens; they outrank the partitions.' },
    lag: {
      kind: 'integer',
      default: 128,
      min: 1,
      unit: 'tokens',
      description: 'Partition size. The last full partition and the rest are kept first.',
    },
    scoring: {
      kind: 'choice',
      choices: ['rank', 'cross'] as const,
      default: 'rank',
      description:
        'rank: place inside the partition, so that all partitions keep alike; cross: raw scores compete over the whole prompt.',
    },
    valueWeight: { kind: 'number', default: 1, min: 0, description: 'Weight of the values’ part beside that of the keys.' },
    keepRatio: {
      kind: 'number',
      default: 0,
      min: 0,
      max: 1,
      unit: 'share of a partition',
      description:
        'Every partition but the last keeps ⌊keepRatio · lag⌋ entries, in place of the budget, as the repository counts; while decoding, what has been compressed once never is again. 0 follows the budget.',
    },
    skipLayers: { kind: 'numbers', default: [], min: 0, unit: 'layers', description: 'Layers that stay whole.' },
  },
  observes: 'keys and values',
  costs: '10 · kvHeads · n · headDim FLOPs, O(kvHeads · n) memory',
  phases: ['prefill', 'decode'],
  profiles: {
    reference: { description: 'LagKV repository.', parameters: { sinks: 16, lag: 1024, keepRatio: 0.5 } },
    kvpress: { description: 'kvpress LagKVPress.', parameters: { sinks: 4, lag: 128 } },
  },
  deviations: [
    'The budget is exact: quotas of partitions differ by at most one. The repository keeps a fixed share of each and the tail on top: keepRatio.',
    'A channel that is constant over the next partition contributes nothing; the references divide by zero.',
  ],
  create: (options) => {
    if (options.keepRatio > 0 && options.scoring === 'cross')
      throw new KvsiftError('policy_invalid', 'lagkv: keepRatio counts in each partition and goes with scoring=rank');
    return keepBest('lagkv', {
      protect: { first: 0, last: 0 },
      allocate(context) {
        const { model, promptLength } = context;
        const left = remainingOf(options, context);
        return Array.from({ length: model.layers }, (_, layer) => {
          const kept = left(layer, promptLength, promptLength);
          return kept === 'all' ? uniformLayer(promptLength, model) : kept;
        });
      },
      remaining: (context) => remainingOf(options, context),
      start: () => ({
        observe: {},
        decode: { observe: {} },
        score: (view) => scorePartitions(view, options),
      }),
    });
  },
});

interface Options {
  readonly sinks: number;
  readonly lag: number;
  readonly scoring: 'rank' | 'cross';
  readonly valueWeight: number;
  readonly keepRatio: number;
  readonly skipLayers: readonly number[];
}

/** Entries that a compressed partition keeps. */
function quotaOf({ keepRatio, lag }: Options): number {
  return Math.trunc(keepRatio * lag + 1e-9);
}

/**
 * Where the partitions begin that have not been compressed yet, of `length` entries of `seen` tokens: behind the sinks and what each partition before has
 * left, which lost `lag` − quota entries each.
 */
function firstOpen(options: Options, length: number, seen: number): number {
  const quota = quotaOf(options);
  const compressed = options.keepRatio === 0 || quota === options.lag ? 0 : Math.round((seen - length) / (options.lag - quota));
  return options.sinks + compressed * quota;
}

/** @throws KvsiftError `policy_invalid` where the model lacks a layer that is to be skipped */
function remainingOf(options: Options, context: SequenceContext): ReturnType<NonNullable<Scoring['remaining']>> {
  const { lag, keepRatio, skipLayers } = options;
  const { model } = context;
  demandLayers('lagkv', 'skipLayers', skipLayers, model);
  const budgets = resolveBudgets(context);
  return (layer, length, seen) => {
    const budget = budgets[layer];
    if (budget === undefined || skipLayers.includes(layer)) return 'all';
    if (keepRatio === 0) return budget;
    const open = firstOpen(options, length, model.windows?.[layer] === undefined ? seen : length);
    const partitions = Math.floor((length - open) / lag) - 1;
    return partitions < 1 ? 'all' : uniformLayer(length - partitions * (lag - quotaOf(options)), model);
  };
}

function scorePartitions(view: LayerView, options: Options): Tensor {
  const { backend, cache, length, model, attention, seen } = view;
  const { lag, scoring, valueWeight } = options;
  const sinks = firstOpen(options, length, attention.window === undefined ? seen : length);
  const partitions = Math.floor((length - sinks) / lag);
  if (length < sinks + 2 * lag) return recency(view, options.sinks);
  const scored = (partitions - 1) * lag;
  const deviations = (part: 'keys' | 'values') => {
    const variances = overEntries(
      view,
      (inner, start, end) => {
        const read = (later: number) => inner.kvRead(cache, part, sinks + start + later, sinks + end + later);
        return variancesOf(inner, read(0), read(lag), lag);
      },
      { length: scored, unit: lag },
    );
    return backend.softmax(backend.map(backend.reshape(variances, [model.kvHeads, partitions - 1, lag]), 'sqrt'));
  };
  const both = backend.evaluate(['div', ['add', deviations('keys'), ['mul', deviations('values'), valueWeight]], 2]);
  const chosen = scoring === 'cross' ? both : backend.zip(backend.rank(both), lag, 'div');
  const scores = backend.reshape(chosen, [model.kvHeads, scored]);
  return backend.concat(
    [filled(backend, [model.kvHeads, sinks], 1), scores, filled(backend, [model.kvHeads, length - sinks - scored], 1)],
    1,
  );
}

/** Variance over channels, where each channel has the range of the next partition: f32 [kvHeads, n] of both f32 [kvHeads, n, headDim], n a multiple of `lag`. */
function variancesOf(backend: Backend, x: Tensor, next: Tensor, lag: number): Tensor {
  const [heads = 0, rows = 0, headDim = 0] = x.shape;
  const parted = (tensor: Tensor) => backend.reshape(tensor, [heads, rows / lag, lag, headDim]);
  const end = (op: 'min' | 'max') => backend.reshape(backend.reduce(parted(next), 2, op), [heads, rows / lag, 1, headDim]);
  const low = end('min');
  const range: Formula = ['sub', end('max'), low];
  // 1 / range, and 0 where the range is empty.
  const factor = backend.evaluate(['div', ['less', ['mul', range, 0], range], ['max', range, 1e-30]]);
  const variances = backend.evaluate(['mul', ['sub', parted(x), low], factor], { axis: 3, op: 'variance' });
  return backend.reshape(variances, [heads, rows]);
}

/** Too short to compare partitions: sinks first, then the latest. */
function recency({ backend, length, model }: LayerView, sinks: number): Tensor {
  const row = entryRow(backend, length, (entry) => (entry < sinks ? 1 : (entry - sinks) / (length - sinks)));
  return backend.zip(filled(backend, [model.kvHeads, 1], 0), row, 'add');
}
