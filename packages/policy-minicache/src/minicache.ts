import {
  definePolicy,
  evictedWeights,
  gatherEntries,
  joinAttention,
  keptSlots,
  type LayerView,
  norms,
  type PolicyRun,
  type Revision,
  type SequenceContext,
  storeRows,
  uniformLayer,
} from '@kvsift/policy';
import type { Backend, Tensor } from '@kvsift/tensor';
import { MergedPairs } from './pairs.js';

/** MiniCache (specification 30e). */
export const minicache = definePolicy({
  name: 'minicache',
  title: 'MiniCache',
  idea: 'In deeper layers the keys and values of a token point where those of the layer below do. Two layers share one direction for each of them and keep their own lengths; tokens whose directions differ most stay in both.',
  paper: {
    title: 'MiniCache: KV Cache Compression in Depth Dimension for Large Language Models',
    authors: 'Liu, Liu, Pan, He, Haffari, Zhuang',
    venue: 'NeurIPS 2024',
    url: 'https://arxiv.org/abs/2405.14366',
  },
  parameters: {
    start: {
      kind: 'number',
      default: 0.5,
      min: 0,
      max: 1,
      unit: 'share of layers',
      description: 'Layers before it stay as they are; those behind it are merged two by two.',
    },
    interpolation: {
      kind: 'number',
      default: 0.6,
      min: 0,
      max: 1,
      description:
        'Where on the arc between both directions the shared one lies: 0 is that of the lower layer, 1 that of the upper one.',
    },
    retained: {
      kind: 'number',
      default: 0.05,
      min: 0,
      max: 1,
      unit: 'share of the prompt',
      description: 'Tokens whose directions differ most, head by head, stay in both layers; the last one always does.',
    },
  },
  budget: 'own',
  observes: 'keys and values of two neighbouring layers',
  costs: '20 · kvHeads · n · headDim FLOPs per pair, O(kvHeads · n · headDim) memory; 2 · kvHeads · n numbers are read back',
  phases: ['prefill', 'decode'],
  deviations: [
    'One set of tokens stays whole for keys and values, by the sum of both cosines; the paper has one for each.',
    'Only the prompt is merged; tokens of the answer stay whole in every layer.',
    'Layers with a sliding window stay whole.',
  ],
  create: (options) => ({
    ragged: false,
    ignoresBudget: true,
    traits: ['cascade', 'compensation'] as const,
    begin: (context) => merging(context, options, new MergedPairs()),
  }),
});

interface Options {
  readonly start: number;
  readonly interpolation: number;
  readonly retained: number;
}

/** Upper layers of the pairs of a model. */
export function upperLayers({ model }: Pick<SequenceContext, 'model'>, start: number): number[] {
  const whole = (layer: number) => model.windows?.[layer] !== undefined;
  const first = Math.ceil(start * model.layers);
  const uppers: number[] = [];
  for (let upper = first + 1; upper < model.layers; upper += 2) if (!whole(upper - 1) && !whole(upper)) uppers.push(upper);
  return uppers;
}

function merging(context: SequenceContext, options: Options, pairs: MergedPairs): PolicyRun {
  const { model, promptLength } = context;
  const retained = Math.max(1, Math.round(options.retained * promptLength));
  const uppers = retained < promptLength ? upperLayers(context, options.start) : [];
  const paired = new Set(uppers.flatMap((upper) => [upper - 1, upper]));
  const dispose = () => pairs.dispose();
  return {
    observe: {},
    budgets: Array.from({ length: model.layers }, (_, layer) => uniformLayer(paired.has(layer) ? retained : promptLength, model)),
    // The lower layer waits whole for the upper one.
    select: () => 'all',
    async revise(layer, earlier) {
      if (!uppers.includes(layer)) return [];
      return merge(earlier(layer - 1), earlier(layer), retained, options.interpolation, pairs);
    },
    compensation: {
      correct(layer, backend, q, output, logSumExp) {
        const merged = pairs.attend(layer, backend, q);
        return merged === undefined ? output : joinAttention(backend, { output, logSumExp }, merged);
      },
    },
    held: () => pairs.held(model.layers),
    heldPositions: (layer) => pairs.positions(layer),
    memory: pairs.memory(uppers),
    fork: () => merging(context, options, pairs.fork()),
    dispose,
    [Symbol.dispose]: dispose,
  };
}

/** Moves all entries of two layers but the retained ones to what both share. */
async function merge(
  lower: LayerView,
  upper: LayerView,
  retained: number,
  interpolation: number,
  pairs: MergedPairs,
): Promise<Revision[]> {
  const { backend, cache, length, model } = upper;
  const alike = (part: 'keys' | 'values') =>
    cosines(backend, backend.kvRead(lower.cache, part), backend.kvRead(cache, part)).cosine;
  const apart = backend.evaluate(['neg', ['add', alike('keys'), alike('values')]]);
  const kept = backend.top(apart, { keep: retained, protectLast: 1 });
  const gone = backend.top(evictedWeights(backend, kept, length), { keep: length - retained });
  const [below, above] = [gatherEntries({ ...lower, backend }, gone), gatherEntries(upper, gone)];
  const keys = await shareDirection(backend, below.keys, above.keys, interpolation);
  const values = await shareDirection(backend, below.values, above.values, interpolation);
  const slots = backend.toInt(keptSlots(backend, gone));
  pairs.set(upper, {
    keys: storeRows(backend, keys.direction, cache.dtype),
    values: storeRows(backend, values.direction, cache.dtype),
    sizes: [
      { keySizes: keys.lower, valueSizes: values.lower },
      { keySizes: keys.upper, valueSizes: values.upper },
    ],
    ...(cache.positions && { positions: backend.reshape(slots, [model.kvHeads, length - retained]) }),
  });
  return [lower.layer, upper.layer].map((layer) => ({ layer, decision: kept }));
}

/** Cosines of the rows of two f32 [heads, n, width], and their lengths: f32 [heads, n]. */
function cosines(backend: Backend, a: Tensor, b: Tensor) {
  const [lower, upper] = [norms(backend, a), norms(backend, b)];
  const product = backend.evaluate(['mul', a, b], { axis: 2, op: 'sum' });
  return { lower, upper, cosine: backend.evaluate(['div', product, ['max', ['mul', lower, upper], 1e-12]]) };
}

/** A point on the arc between the directions of each pair of rows, f32 [heads, n, width] of length 1, and the lengths of the rows. */
async function shareDirection(backend: Backend, a: Tensor, b: Tensor, interpolation: number) {
  const { lower, upper, cosine } = cosines(backend, a, b);
  const [heads = 0, length = 0] = cosine.shape;
  const weights = arcWeights(await cosine.read(), interpolation);
  const part = (rows: Tensor, sizes: Tensor, weight: Float32Array) => {
    const factor = backend.evaluate(['div', backend.upload(weight, 'f32', [heads, length]), ['max', sizes, 1e-12]]);
    return backend.zip(rows, backend.reshape(factor, [heads, length, 1]), 'mul');
  };
  const sum = backend.zip(part(a, lower, weights.lower), part(b, upper, weights.upper), 'add');
  const size = backend.reshape(backend.zip(norms(backend, sum), 1e-12, 'max'), [heads, length, 1]);
  return { direction: backend.zip(sum, size, 'div'), lower, upper };
}

/** Weights of both directions on the arc between them; where they are one, or opposite, on the line. */
export function arcWeights(cosines: ArrayLike<number>, interpolation: number): { lower: Float32Array; upper: Float32Array } {
  const lower = new Float32Array(cosines.length);
  const upper = new Float32Array(cosines.length);
  for (let at = 0; at < cosines.length; at++) {
    const angle = Math.acos(Math.min(1, Math.max(-1, cosines[at] ?? 1)));
    const sine = Math.sin(angle);
    const bent = sine > 1e-4;
    lower[at] = bent ? Math.sin((1 - interpolation) * angle) / sine : 1 - interpolation;
    upper[at] = bent ? Math.sin(interpolation * angle) / sine : interpolation;
  }
  return { lower, upper };
}
