import { filled } from '@kvsift/policy';
import type { Backend, Tensor } from '@kvsift/tensor';

/** Maps rows f32 [heads, rows, headDim] to features f32 [heads, rows, F]; the dot product of two stands for exp(q·k / √headDim). */
export type FeatureMap = (backend: Backend, x: Tensor) => Tensor;

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
    const t = scaled(backend, x);
    const negative = backend.zip(t, 0, 'less');
    const exponential = backend.zip(backend.map(backend.zip(t, 0, 'min'), 'exp'), negative, 'mul');
    const z = backend.zip(backend.zip(t, 0, 'max'), exponential, 'add');
    return joined(backend, [z, halfSquares(backend, z)]);
  },
  // F2: Taylor of second order without mixed terms; can be negative.
  diagonal: (backend, x) => {
    const t = scaled(backend, x);
    return joined(backend, [t, halfSquares(backend, t)]);
  },
  // F3: Taylor of second order, exactly 1 + s + s²/2.
  taylor: (backend, x) => {
    const t = scaled(backend, x);
    const [, , headDim = 0] = t.shape;
    const mixed = Array.from({ length: headDim - 1 }, (_, a) =>
      backend.zip(backend.slice(t, 2, a + 1, headDim), backend.slice(t, 2, a, a + 1), 'mul'),
    );
    return joined(backend, [t, halfSquares(backend, t), ...mixed]);
  },
  // elu(t) + 1 (Katharopoulos et al. 2020).
  elu: (backend, x) => {
    const t = scaled(backend, x);
    return backend.zip(backend.zip(t, 0, 'max'), backend.map(backend.zip(t, 0, 'min'), 'exp'), 'add');
  },
};

/** x / headDim^(1/4), for queries and keys alike. */
export function scaled(backend: Backend, x: Tensor): Tensor {
  return backend.zip(x, (x.shape[2] ?? 1) ** 0.25, 'div');
}

function halfSquares(backend: Backend, z: Tensor): Tensor {
  return backend.zip(backend.map(z, 'square'), Math.SQRT2, 'div');
}

/** A leading 1 and the blocks behind it. */
function joined(backend: Backend, blocks: readonly Tensor[]): Tensor {
  const [heads = 0, rows = 0] = blocks[0]?.shape ?? [];
  return backend.concat([filled(backend, [heads, rows, 1], 1), ...blocks], 2);
}
