import type { Backend, KvView, StoredTensor, Tensor, WeightRole } from '@kvsift/tensor';

/** Elements that are made at a time: 256 MiB of float32. */
const atOnce = 2 ** 26;
const width = 256;

/**
 * Random bf16 numbers in ±scale, made on the device. The contract rounds to bf16 where it stores cache entries, so that is the way they take.
 * @param elements a multiple of 256
 */
function randomBf16(backend: Backend, elements: number, scale: number, layer: number): Tensor {
  const rows = elements / width;
  const keys = backend.empty('bf16', [rows, width]);
  for (let first = 0; first < rows; first += atOnce / width) {
    const count = Math.min(atOnce / width, rows - first);
    using raw = backend.uniform({ seed: 1, sequence: first, layer, purpose: 0 }, count, width);
    using centred = backend.zip(raw, 0.5, 'sub');
    using scaled = backend.zip(centred, 2 * scale, 'mul');
    using scratch = backend.empty('bf16', [rows, width]);
    using lengths = backend.upload(Int32Array.of(first), 'i32', [1]);
    using starts = backend.upload(Int32Array.of(0), 'i32', [1]);
    using positions = backend.upload(new Int32Array(count), 'i32', [count]);
    const view: KvView = {
      ...{ dtype: 'bf16', kvHeads: 1, headDim: width, keys, values: scratch, lengths, starts },
      ...{ maxLength: first, uniform: true },
    };
    backend.kvAppend([{ view, rows: count }], scaled, scaled, positions);
  }
  return keys;
}

/** A backend whose `load` makes weights up instead of reading them: matrices are random bf16, vectors are ones. */
export function withSyntheticWeights(backend: Backend): Backend {
  let made = 0;
  const load = (sources: StoredTensor | readonly StoredTensor[], role: WeightRole): Promise<Tensor> => {
    const list = 'shape' in sources ? [sources] : sources;
    const rows = list.reduce((sum, { shape }) => sum + (shape[0] ?? 0), 0);
    if (role === 'vector') return Promise.resolve(backend.upload(new Float32Array(rows).fill(1), 'f32', [rows]));
    const columns = list[0]?.shape[1] ?? 0;
    // Rows of unit length keep activations in the range that a trained model has.
    using numbers = randomBf16(backend, rows * columns, Math.sqrt(3 / columns), made++);
    return Promise.resolve(backend.reshape(numbers, [rows, columns]));
  };
  return new Proxy(backend, {
    get: (target, name) => {
      if (name === 'load') return load;
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}
