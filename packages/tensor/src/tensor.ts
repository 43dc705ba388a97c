import type { DType } from './dtype.js';
import type { Shape } from './shape.js';

/** Host arrays by dtype: f16 and bf16 travel as their bit patterns, block formats as bytes. */
export type HostArray = Float32Array | Int32Array | Uint16Array | Uint8Array;

/**
 * A handle to memory of one backend. Ops return it at once; the numbers exist when the stream has reached the op.
 * Owned by whoever received it: call `dispose` (or `using`) when done; a finalizer frees what was forgotten.
 */
export interface Tensor extends Disposable {
  readonly dtype: DType;
  readonly shape: Shape;
  /** False after `dispose`. */
  readonly alive: boolean;
  /**
   * Waits for the op that makes this tensor and copies it out, row-major.
   * f32 as Float32Array, i32 as Int32Array, f16 and bf16 as Uint16Array bit patterns, the rest as Uint8Array.
   * @throws KvsiftError of the op that failed (`details.op` names it); `disposed` after `dispose`.
   */
  read(): Promise<HostArray>;
  /** Releases this handle. The memory goes when the last op that uses it has run. Calling it twice is harmless. */
  dispose(): void;
}

/** Where a tensor lies in a file; what `Backend.load` turns into a weight. */
export interface StoredTensor {
  /** Name in the file, for messages. */
  readonly name: string;
  readonly dtype: DType;
  /** Outermost first: a matrix is [rows (outputs), columns (inputs)]. */
  readonly shape: Shape;
  readonly path: string;
  /** First byte in the file. */
  readonly byteOffset: number;
  readonly byteLength: number;
  /** Rows to take, in this order; absent means all. Used to slice stacked matrices and to undo GGUF's row order of q and k. */
  readonly rowOrder?: Int32Array;
}

/**
 * What a weight is for. `linear`: a matrix [outputs, inputs] (a backend may repack it). `embedding`: rows are looked up. `vector`: norms and
 * biases, converted to f32.
 */
export type WeightRole = 'linear' | 'embedding' | 'vector';
