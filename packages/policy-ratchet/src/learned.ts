import type { ModelShape } from '@kvsift/policy';
import { type Backend, type Formula, KvsiftError, type Tensor } from '@kvsift/tensor';
import { openWeights } from '@kvsift/weights';
import { type FeaturePlace, scaled } from './features.js';

const parts = ['queries', 'keys', 'queryBias', 'keyBias'] as const;

/** Weights of a learned feature map, as tools/ratchet/train.py writes them. */
export interface LearnedFeatures {
  /** f32 [layers, kvHeads, features, headDim] */
  readonly queries: Float32Array;
  readonly keys: Float32Array;
  /** f32 [layers, kvHeads, features] */
  readonly queryBias: Float32Array;
  readonly keyBias: Float32Array;
  readonly features: number;
}

/**
 * Reads a learned feature map (safetensors).
 * @throws KvsiftError `file_not_found`, `file_malformed`; `policy_invalid` where it was made for a model of another shape
 */
export async function readLearned(path: string, { layers, kvHeads, headDim }: ModelShape): Promise<LearnedFeatures> {
  const file = await openWeights(path);
  const features = file.tensor('queries').shape[2] ?? 0;
  const found = {} as Record<(typeof parts)[number], Float32Array>;
  for (const name of parts) {
    const stored = file.tensor(name);
    const expected = [layers, kvHeads, features, ...(name.endsWith('Bias') ? [] : [headDim])];
    if (stored.shape.join() !== expected.join()) {
      throw new KvsiftError(
        'policy_invalid',
        `${path}: ${name} is [${stored.shape.join(', ')}], this model needs [${expected.join(', ')}]: train the map for it with tools/ratchet/train.py`,
        { path, name },
      );
    }
    found[name] = await file.readFloat32(stored);
  }
  return { ...found, features };
}

/** Weights of one place: f32 [kvHeads, features, headDim] and [kvHeads, 1, features]. */
export interface PlaceWeights {
  readonly weight: Tensor;
  readonly bias: Tensor;
}

/** Brings the weights of one place to the device. */
export function placeWeights(
  backend: Backend,
  { layer, side }: FeaturePlace,
  learned: LearnedFeatures,
  { kvHeads, headDim }: Pick<ModelShape, 'kvHeads' | 'headDim'>,
): PlaceWeights {
  const { features } = learned;
  const own = (values: Float32Array, width: number) => {
    const size = kvHeads * features * width;
    return values.slice(layer * size, (layer + 1) * size);
  };
  const [weight, bias] = side === 'queries' ? [learned.queries, learned.queryBias] : [learned.keys, learned.keyBias];
  return {
    weight: backend.upload(own(weight, headDim), 'f32', [kvHeads, features, headDim]),
    bias: backend.upload(own(bias, 1), 'f32', [kvHeads, 1, features]),
  };
}

/**
 * φ(t)_f = exp(w_f · t + b_f − ‖t‖² / 2), t = x / headDim^(1/4), with weights of its own for queries and keys of each KV head. Never overflows, as the
 * exponent is at most ‖w_f‖² / 2 + b_f; with normally distributed w it is the unbiased map of Performers (Choromanski et al. 2021), from where training begins.
 * @param x f32 [kvHeads, rows, headDim]
 */
export function learnedMap(backend: Backend, x: Tensor, { weight, bias }: PlaceWeights): Formula {
  const [kvHeads = 0, rows = 0] = x.shape;
  const t = backend.evaluate(scaled(x));
  const products = backend.matmul(t, weight, { transposeB: true });
  const squares = backend.reshape(backend.evaluate(['square', t], { axis: 2, op: 'sum' }), [kvHeads, rows, 1]);
  return ['exp', ['sub', ['add', products, bias], ['div', squares, 2]]];
}
