import * as t from '@kvsift/tensor';
import { AddonTensor, hostView, type TensorOwner } from './addon-tensor.js';
import type { NativeBackend, NativeSource, TensorId } from './addon-types.js';

function nativeSource(source: t.StoredTensor): NativeSource {
  const { name, path, dtype, shape, byteOffset, byteLength, rowOrder } = source;
  return { name, path, dtype, shape: Float64Array.from(shape), byteOffset, byteLength, rowOrder };
}

/** Memory and stream of the addon: tensors, weights, programs. */
export class AddonStream implements TensorOwner {
  #alive = true;
  /** Frees what was forgotten. */
  readonly #forgotten = new FinalizationRegistry<TensorId>((id) => {
    if (this.#alive) this.native.release(id);
  });
  readonly #forgottenPrograms = new FinalizationRegistry<number>((id) => {
    if (this.#alive) this.native.releaseProgram(id);
  });

  constructor(protected readonly native: NativeBackend) {}

  get alive(): boolean {
    return this.#alive;
  }

  upload(data: t.HostArray, dtype: t.DType, shape: t.Shape): t.Tensor {
    this.demandAlive();
    t.checkUpload(data, dtype, shape);
    return this.hold(this.native.upload(dtype, Float64Array.from(shape), data), dtype, [...shape]);
  }

  empty(dtype: t.DType, shape: t.Shape): t.Tensor {
    this.demandAlive();
    t.checkEmpty(dtype, shape);
    return this.hold(this.native.empty(dtype, Float64Array.from(shape)), dtype, [...shape]);
  }

  write(tensor: t.Tensor, data: t.HostArray | t.Tensor): void {
    this.demandAlive();
    if (t.checkWrite(tensor, data)) this.native.assign(this.id(tensor), this.id(data));
    else this.native.write(this.id(tensor), data);
  }

  writeRows(tensor: t.Tensor, row: number, data: t.Tensor): void {
    t.checkWriteRows(tensor, row, data);
    this.native.writeRows(this.id(tensor), row, this.id(data));
  }

  /** `write` of a tensor of another backend of the same addon: enqueued on both streams. Not while one of them is recorded. */
  receive(tensor: t.Tensor, from: AddonStream, data: t.Tensor): void {
    this.demandAlive();
    t.checkWrite(tensor, data);
    this.native.receive(this.id(tensor), from.native, from.id(data));
  }

  reshape(x: t.Tensor, shape: t.Shape): t.Tensor {
    this.demandAlive();
    const checked = t.checkReshape(x, shape);
    return this.hold(this.native.reshape(this.id(x), Float64Array.from(checked)), x.dtype, [...checked]);
  }

  async load(sources: t.StoredTensor | readonly t.StoredTensor[], role: t.WeightRole): Promise<t.Tensor> {
    this.demandAlive();
    const list = Array.isArray(sources) ? (sources as readonly t.StoredTensor[]) : [sources as t.StoredTensor];
    const shape = t.checkLoad(list, role);
    const { tensor, done } = this.native.load(list.map(nativeSource), role);
    const weight = this.hold(tensor, role === 'vector' ? 'f32' : (list[0]?.dtype ?? 'f32'), shape);
    try {
      await done;
      return weight;
    } catch (error) {
      weight.dispose();
      throw error;
    }
  }

  dequantize(weight: t.Tensor): t.Tensor {
    return this.hold(this.native.dequantize(this.id(weight)), 'f32', weight.shape);
  }

  async finish(): Promise<t.StreamMark> {
    this.demandAlive();
    return this.native.finish();
  }

  memory(): t.MemoryUse {
    this.demandAlive();
    return this.native.memory();
  }

  resetPeak(): void {
    this.demandAlive();
    this.native.resetPeak();
  }

  record(build: () => void): t.Program {
    this.beginRecording();
    try {
      build();
    } catch (error) {
      this.endRecording().dispose();
      throw error;
    }
    return this.endRecording();
  }

  /** `record` in two parts: ops are recorded from here on. */
  beginRecording(): void {
    this.demandAlive();
    this.native.beginRecording();
  }

  /** The ops since `beginRecording`. */
  endRecording(): t.Program {
    const { native } = this;
    const id = native.endRecording();
    let open = true;
    const program: t.Program = {
      run: () => {
        this.demandAlive();
        if (!open) throw new t.KvsiftError('disposed', 'run: the program was disposed', { op: 'run' });
        native.runProgram(id);
      },
      dispose: () => {
        if (!open) return;
        open = false;
        this.#forgottenPrograms.unregister(program);
        if (this.#alive) native.releaseProgram(id);
      },
      [Symbol.dispose]: () => program.dispose(),
    };
    this.#forgottenPrograms.register(program, id, program);
    return program;
  }

  async dispose(): Promise<void> {
    if (!this.#alive) return;
    this.#alive = false;
    await this.native.dispose();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose();
  }

  /** Part of `TensorOwner`. */
  release(tensor: AddonTensor): void {
    this.#forgotten.unregister(tensor);
    if (this.#alive) this.native.release(tensor.id);
  }

  /** Part of `TensorOwner`. */
  async read(tensor: AddonTensor): Promise<t.HostArray> {
    return hostView(tensor.dtype, await this.native.read(tensor.id));
  }

  /** A handle of a tensor that the addon has made. */
  protected hold(id: TensorId, dtype: t.DType, shape: t.Shape): t.Tensor {
    const tensor = new AddonTensor(id, this, dtype, shape);
    this.#forgotten.register(tensor, id, tensor);
    return tensor;
  }

  /** Number of a living tensor of this backend. */
  protected readonly id = (x: t.Tensor): TensorId => {
    this.demandAlive();
    if (!(x instanceof AddonTensor) || x.owner !== this) {
      throw new t.KvsiftError('invalid_argument', 'this tensor belongs to another backend');
    }
    if (!x.alive) throw new t.KvsiftError('disposed', 'this tensor was disposed');
    return x.id;
  };

  protected demandAlive(): void {
    if (!this.#alive) throw new t.KvsiftError('disposed', 'this backend was disposed');
  }
}
