import { type LayerView, observed } from '@kvsift/policy';
import { type Tensor, uniformAt } from '@kvsift/tensor';
import { inverse } from './inverse.js';

/** Purpose word of this policy's stream of random numbers. */
const purpose = 32;
/** Ridge that keeps the sketched Gram matrix invertible. */
const ridge = 1e-2;

/** Gaussian numbers / √columns, f32 [kvHeads, headDim, columns]: Box–Muller over the counter-based stream. */
export function gaussianSketch(view: LayerView, columns: number): Tensor {
  const { backend, seed, sequence, layer, model } = view;
  const key = { seed, sequence, layer, purpose };
  const size = model.headDim * columns;
  const numbers = Float32Array.from({ length: model.kvHeads * size }, (_, index) => {
    const head = Math.floor(index / size);
    const radius = Math.sqrt(-2 * Math.log(uniformAt(key, head, 2 * (index % size))));
    return (radius * Math.cos(2 * Math.PI * uniformAt(key, head, 2 * (index % size) + 1))) / Math.sqrt(columns);
  });
  return backend.upload(numbers, 'f32', [model.kvHeads, model.headDim, columns]);
}

/**
 * Statistical leverage of the centred keys before rotation through a sketch: diag(X (XᵀX + 0.01 I)⁻¹ Xᵀ), X = (K − mean) Φ; f32 [kvHeads, rows] of
 * the rows `from` … `to` − 1. The small Gram matrices are inverted on the host.
 */
export async function leverageScores(view: LayerView, sketch: Tensor, from = 0, to = view.length): Promise<Tensor> {
  const { backend, model } = view;
  const [, , columns = 0] = sketch.shape;
  const rows = to - from;
  const flat = backend.slice(observed(view, 'keysBeforeRotation'), 0, from, to);
  const keys = backend.transpose(backend.reshape(flat, [rows, model.kvHeads, model.headDim]), [1, 0, 2]);
  const mean = backend.reshape(backend.reduce(keys, 1, 'mean'), [model.kvHeads, 1, model.headDim]);
  const x = backend.matmul(backend.zip(keys, mean, 'sub'), sketch);
  const gram = (await backend.matmul(backend.transpose(x, [0, 2, 1]), x).read()) as Float32Array;
  const inverses = new Float32Array(gram.length);
  for (let head = 0; head < model.kvHeads; head++) {
    const at = head * columns * columns;
    inverses.set(inverse(gram.subarray(at, at + columns * columns), columns, ridge), at);
  }
  const solved = backend.matmul(x, backend.upload(inverses, 'f32', [model.kvHeads, columns, columns]));
  return backend.zip(backend.reduce(backend.zip(x, solved, 'mul'), 2, 'sum'), 0, 'max');
}
