import { definePolicy, filled, keepBest, type LayerView, norms, observed, overEntries, resolveBudgets } from '@kvsift/policy';
import type { Backend, Tensor } from '@kvsift/tensor';
import { momentsOfLayer, type QueryMoments, readMoments } from './moments.js';

/** Expected Attention (specification 15). */
export const expectedAttention = definePolicy({
  name: 'expected-attention',
  title: 'Expected Attention',
  idea: 'Future queries look like those of the prompt: Gaussian, rotated to coming positions. Keep what they are expected to attend to, weighted by the size of its value.',
  paper: {
    title: 'Expected Attention: KV Cache Compression by Estimating Attention from Future Queries Distribution',
    authors: 'Devoto, Jeblick, Jégou',
    venue: 'arXiv 2025',
    url: 'https://arxiv.org/abs/2510.00636',
  },
  parameters: {
    futurePositions: {
      kind: 'integer',
      default: 512,
      min: 1,
      unit: 'tokens',
      description: 'Coming positions over which the rotation is averaged.',
    },
    sinks: {
      kind: 'integer',
      default: 4,
      min: 0,
      unit: 'tokens',
      description: 'First tokens: always kept, and left out of the query statistics.',
    },
    covariance: { kind: 'flag', default: true, description: 'Use the spread of the queries, not only their mean.' },
    valueNorm: { kind: 'flag', default: true, description: 'Weigh by the norm of the value. Turn it off inside criticalkv.' },
    epsilon: {
      kind: 'number',
      default: 0,
      min: 0,
      description: 'Added to the expected attention before the value norm; 0.01 lets large values count everywhere.',
    },
    statistics: {
      kind: 'text',
      default: '',
      description:
        'Mean and covariance of the model’s queries over a corpus, in place of the prompt’s: the path of what `kvsift calibrate query-statistics` made (safetensors with `mean` f32 [layers, queryHeads, headDim] and `covariance` f32 [layers, queryHeads, headDim, headDim]).',
    },
  },
  observes: 'queries before rotation of all rows (not with `statistics`), keys, values, rope frequencies',
  costs: '2 · queryHeads · n · headDim² FLOPs twice, O(queryHeads · n) memory besides the queries',
  phases: ['prefill', 'decode'],
  profiles: { kvpress: { description: 'kvpress ExpectedAttentionPress.', parameters: { futurePositions: 512, sinks: 4 } } },
  deviations: ['While decoding the rotation starts at the true position; kvpress counts from the length of its buffer.'],
  create: ({ statistics, ...options }) => {
    const known = statistics === '' ? undefined : fromFile(statistics, options.covariance);
    return keepBest('expected-attention', {
      protect: { first: options.sinks, last: 0 },
      allocate: resolveBudgets,
      start: () => ({
        observe: known ? {} : { queriesBeforeRotation: 'all' },
        decode: { observe: known ? {} : { queriesBeforeRotation: { last: 256 } } },
        score: async (view) => expectedScores(view, options, await known?.(view)),
      }),
    });
  },
});

/** Moments of a view's layer out of a file, which is read once. */
function fromFile(path: string, covariance: boolean): (view: LayerView) => Promise<QueryMoments> {
  let stored: ReturnType<typeof readMoments> | undefined;
  return async (view) => {
    stored ??= readMoments(path);
    return momentsOfLayer(view, path, await stored, covariance);
  };
}

interface Options {
  readonly futurePositions: number;
  readonly sinks: number;
  readonly covariance: boolean;
  readonly valueNorm: boolean;
  readonly epsilon: number;
}

/** @param known of the model's queries; absent: the prompt's own tell */
function expectedScores(view: LayerView, options: Options, known: QueryMoments | undefined): Tensor {
  const { futurePositions, sinks, covariance, valueNorm, epsilon } = options;
  const { backend, cache, length, model, attention } = view;
  if (length <= sinks) return filled(backend, [model.kvHeads, length], 0);
  const group = model.queryHeads / model.kvHeads;
  const { mean, spread } = known ?? statistics(view, sinks, covariance);
  const turn = averageRotation(view, futurePositions);
  const centre = backend.reshape(turn(backend.reshape(mean, [model.queryHeads, model.headDim, 1])), [
    model.kvHeads,
    group,
    model.headDim,
  ]);
  // R Σ Rᵀ: turn rows, transpose, turn rows again.
  const turned = spread && turn(backend.transpose(turn(spread), [0, 2, 1]));
  const behindSinks = length - sinks;
  const expected = expectation(backend, centre, turned, attention.scale);
  const logits = overEntries(
    view,
    (inner, start, end) => expected(inner, inner.kvRead(cache, 'keys', sinks + start, sinks + end)),
    { length: behindSinks, axis: 2 },
  );
  let scores = backend.reduce(backend.softmax(logits), 1, 'mean');
  if (valueNorm) {
    const sizes = overEntries(
      view,
      (inner, start, end) => norms(inner, inner.kvRead(cache, 'values', sinks + start, sinks + end)),
      { length: behindSinks },
    );
    scores = backend.evaluate(['mul', ['add', scores, epsilon], sizes]);
  }
  return sinks === 0 ? scores : backend.concat([filled(backend, [model.kvHeads, sinks], 0), scores], 1);
}

/** Mean [queryHeads, headDim] and population covariance [queryHeads, headDim, headDim] of the queries behind the sinks. */
function statistics(view: LayerView, sinks: number, covariance: boolean): QueryMoments {
  const { backend, model } = view;
  const all = observed(view, 'queriesBeforeRotation');
  const [rows = 0] = all.shape;
  // Buffered decode rows no longer contain the sinks.
  const first = rows === view.seen ? sinks : 0;
  const { queryHeads, headDim } = model;
  if (covariance) {
    const moments = backend.covariance(all, { heads: queryHeads, first });
    return { mean: moments.mean, spread: moments.covariance };
  }
  const counted = first === 0 ? all : backend.slice(all, 0, first, rows);
  return { mean: backend.reshape(backend.reduce(counted, 0, 'mean'), [queryHeads, headDim]) };
}

/**
 * ln of what queries of mean `centre` [kvHeads, group, headDim] and covariance `spread` [queryHeads, headDim, headDim] are expected to say of keys
 * [kvHeads, n, headDim]: k · (scale · centre + scale² / 2 · Σ k), f32 [kvHeads, group, n].
 */
function expectation(backend: Backend, centre: Tensor, spread: Tensor | undefined, scale: number) {
  const [kvHeads = 0, group = 0, headDim = 0] = centre.shape;
  const linear = backend.zip(centre, scale, 'mul');
  if (spread === undefined) return (inner: Backend, keys: Tensor) => inner.matmul(linear, keys, { transposeB: true });
  const rows = backend.reshape(linear, [kvHeads, group, 1, headDim]);
  const half = backend.reshape(backend.zip(spread, scale ** 2 / 2, 'mul'), [kvHeads, group, headDim, headDim]);
  return (inner: Backend, keys: Tensor) => {
    const each = inner.reshape(keys, [kvHeads, 1, keys.shape[1] ?? 0, headDim]);
    return inner.evaluate(['mul', ['add', inner.matmul(each, half, { coarse: true }), rows], each], { axis: 3, op: 'sum' });
  };
}

/**
 * Rotation averaged over the coming positions, applied to the rows of [heads, headDim, columns]. Rotating a vector of ones (first half of each
 * pair) and zeros (second half) leaves cosine and sine in its halves, so the backend's own rope gives both.
 */
function averageRotation(view: LayerView, count: number): (x: Tensor) => Tensor {
  const { backend, rope, seen, nextPosition = seen, model } = view;
  const pairs = rope.inverseFrequencies.shape[0] ?? 0;
  const unit = Float32Array.from({ length: count * model.headDim }, (_, index) => (index % model.headDim < pairs ? 1 : 0));
  const positions = Int32Array.from({ length: count }, (_, index) => nextPosition + index);
  const turned = backend.rope(backend.upload(unit, 'f32', [count, model.headDim]), backend.upload(positions, 'i32', [count]), {
    heads: 1,
    ...rope,
  });
  const average = backend.reduce(turned, 0, 'mean');
  const cosine = backend.reshape(backend.slice(average, 0, 0, pairs), [1, pairs, 1]);
  const sine = backend.reshape(backend.slice(average, 0, pairs, 2 * pairs), [1, pairs, 1]);
  return (x) => {
    const first = backend.slice(x, 1, 0, pairs);
    const second = backend.slice(x, 1, pairs, 2 * pairs);
    const parts = [
      backend.evaluate(['sub', ['mul', first, cosine], ['mul', second, sine]]),
      backend.evaluate(['add', ['mul', first, sine], ['mul', second, cosine]]),
    ];
    if (2 * pairs < model.headDim) parts.push(backend.slice(x, 1, 2 * pairs, model.headDim));
    return backend.concat(parts, 1);
  };
}
