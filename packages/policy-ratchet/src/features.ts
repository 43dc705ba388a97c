import { filled, type ModelShape } from '@kvsift/policy';
import type { Backend, Formula, Tensor } from '@kvsift/tensor';

/**
 * Maps rows f32 [heads, rows, headDim] to features, in blocks f32 [heads, rows, ...] that are F wide together; the dot product of two rows' features stands
 * for exp(q·k / √headDim). In blocks, because those of a whole prompt are summed up block by block; as formulas, because more may be computed of them on
 * the way.
 */
export type FeatureMap = (backend: Backend, x: Tensor) => readonly Formula[];

/** Features of rows in one piece: f32 [heads, rows, F]. */
export function featureRows(backend: Backend, features: FeatureMap, x: Tensor): Tensor {
  return backend.concat(
    features(backend, x).map((block) => valuesOf(backend, block)),
    2,
  );
}

/** A formula's tensor. */
export function valuesOf(backend: Backend, formula: Formula): Tensor {
  return Array.isArray(formula) ? backend.evaluate(formula) : (formula as Tensor);
}

/** Names of the built-in maps. */
export type FeatureName = 'code' | 'diagonal' | 'taylor' | 'elu';

/** Where rows come from: a learned map has weights of its own for each layer and side. */
export interface FeaturePlace {
  readonly layer: number;
  readonly side: 'queries' | 'keys';
}

/** The built-in feature maps (specification 11.2). */
export const featureMaps: Readonly<Record<FeatureName, FeatureMap>> = {
  // F1: the repository's. The square block uses z, which jumps from 1 to 0 at 0.
  code: (backend, x) => {
    const t = scaled(x);
    const z = backend.evaluate(['add', ['max', t, 0], ['mul', ['exp', ['min', t, 0]], ['less', t, 0]]]);
    return [one(backend, z), z, halfSquares(z)];
  },
  // F2: Taylor of second order without mixed terms; can be negative.
  diagonal: (backend, x) => {
    const t = backend.evaluate(scaled(x));
    return [one(backend, t), t, halfSquares(t)];
  },
  // F3: Taylor of second order, exactly 1 + s + s²/2.
  taylor: (backend, x) => {
    const t = backend.evaluate(scaled(x));
    const [, , headDim = 0] = t.shape;
    const mixed = Array.from({ length: headDim - 1 }, (_, a) =>
      backend.evaluate(['mul', backend.slice(t, 2, a + 1, headDim), backend.slice(t, 2, a, a + 1)]),
    );
    return [one(backend, t), t, halfSquares(t), ...(mixed.length > 0 ? [backend.concat(mixed, 2)] : [])];
  },
  // elu(t) + 1 (Katharopoulos et al. 2020).
  elu: (_backend, x) => {
    const t = scaled(x);
    return [['add', ['max', t, 0], ['exp', ['min', t, 0]]]];
  },
};

/** Features of a row of `headDim` numbers under a built-in map. */
export function featureCount(name: FeatureName, headDim: number): number {
  const counts: Readonly<Record<FeatureName, number>> = {
    code: 1 + 2 * headDim,
    diagonal: 1 + 2 * headDim,
    taylor: 1 + headDim + (headDim * (headDim + 1)) / 2,
    elu: headDim,
  };
  return counts[name];
}

/** The map for a model whose softmax scale is another than 1 / √headDim: rows are scaled first. */
export function forScale(map: FeatureMap, { headDim, attentionScale = 1 / Math.sqrt(headDim) }: ScaledHeads): FeatureMap {
  const factor = Math.sqrt(attentionScale * Math.sqrt(headDim));
  return Math.abs(factor - 1) < 1e-9 ? map : (backend, x) => map(backend, backend.zip(x, factor, 'mul'));
}

type ScaledHeads = Pick<ModelShape, 'headDim' | 'attentionScale'>;

/** x / headDim^(1/4), for queries and keys alike. */
export function scaled(x: Tensor): Formula {
  return ['mul', x, (x.shape[2] ?? 1) ** -0.25];
}

function halfSquares(z: Tensor): Formula {
  return ['mul', ['square', z], Math.SQRT1_2];
}

/** The feature that is 1 in every row of a block. */
function one(backend: Backend, block: Tensor): Tensor {
  const [heads = 0, rows = 0] = block.shape;
  return filled(backend, [heads, rows, 1], 1);
}
