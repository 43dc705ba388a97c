import type { LayerView } from '@kvsift/policy';
import { KvsiftError, type Tensor } from '@kvsift/tensor';
import { openWeights } from '@kvsift/weights';

/** What is known of a layer's queries before rotation. */
export interface QueryMoments {
  /** f32 [queryHeads, headDim] */
  readonly mean: Tensor;
  /** f32 [queryHeads, headDim, headDim] */
  readonly spread?: Tensor;
}

/** Moments of all layers, as a file has them. */
export type StoredMoments = Readonly<
  Record<'mean' | 'covariance', { readonly shape: readonly number[]; readonly values: Float32Array }>
>;

/** @throws KvsiftError `file_not_found`, `file_malformed` where the file lacks them or holds what is no number */
export async function readMoments(path: string): Promise<StoredMoments> {
  const file = await openWeights(path);
  const read = async (name: string) => {
    const stored = file.tensor(name);
    const values = await file.readFloat32(stored);
    const at = values.findIndex((value) => !Number.isFinite(value));
    if (at >= 0) {
      const message = `${path}: ${name} holds ${values[at]} at ${at}, expected finite numbers`;
      throw new KvsiftError('file_malformed', message, { path, name });
    }
    return { shape: stored.shape, values };
  };
  return { mean: await read('mean'), covariance: await read('covariance') };
}

/** The moments of a view's layer. @throws KvsiftError `policy_invalid` where they are of another model */
export function momentsOfLayer(
  { backend, layer, model }: LayerView,
  path: string,
  stored: StoredMoments,
  covariance: boolean,
): QueryMoments {
  const { layers, queryHeads, headDim } = model;
  const part = (name: keyof StoredMoments, shape: readonly number[]) => {
    const found = stored[name];
    if (found.shape.join() !== [layers, ...shape].join()) {
      throw new KvsiftError(
        'policy_invalid',
        `${path}: ${name} is [${found.shape.join(', ')}], this model needs [${[layers, ...shape].join(', ')}]`,
        { path, name },
      );
    }
    const size = shape.reduce((product, length) => product * length, 1);
    return backend.upload(found.values.slice(layer * size, (layer + 1) * size), 'f32', shape);
  };
  const mean = part('mean', [queryHeads, headDim]);
  return covariance ? { mean, spread: part('covariance', [queryHeads, headDim, headDim]) } : { mean };
}
