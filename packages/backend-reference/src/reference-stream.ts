import * as t from '@kvsift/tensor';
import { floats, HostTensor, hostArray, Storage, storageOf } from './host-tensor.js';
import { readStored } from './load.js';
import { MemoryCount } from './memory.js';
import { weightValues } from './ops/weight.js';

/** Ops of a program, and the memory that lives as long as it does. */
interface Recording {
  readonly steps: (() => void)[];
  readonly held: Set<Storage>;
}

/** Memory and order of ops: each is computed at once on the calling thread, or recorded. */
export class ReferenceStream {
  readonly #memory = new MemoryCount();
  /** Frees what was forgotten. */
  readonly #forgotten = new FinalizationRegistry<Storage>((storage) => storage.release());
  #failure: t.KvsiftError | undefined;
  #recording: Recording | undefined;

  upload(data: t.HostArray, dtype: t.DType, shape: t.Shape): t.Tensor {
    this.demandAlive();
    t.checkUpload(data, dtype, shape);
    const tensor = this.make(dtype, shape);
    storageOf(tensor).data.set(data);
    return tensor;
  }

  empty(dtype: t.DType, shape: t.Shape): t.Tensor {
    this.demandAlive();
    t.checkEmpty(dtype, shape);
    return this.make(dtype, shape);
  }

  write(tensor: t.Tensor, data: t.HostArray | t.Tensor): void {
    this.demandAlive();
    if (t.checkWrite(tensor, data)) {
      this.enqueue('write', [data], [tensor], () => storageOf(tensor).data.set(storageOf(data).data));
      return;
    }
    const copy = hostArray(tensor.dtype, tensor.shape);
    copy.set(data);
    this.enqueue('write', [], [tensor], () => storageOf(tensor).data.set(copy));
  }

  writeRows(tensor: t.Tensor, row: number, data: t.Tensor): void {
    t.checkWriteRows(tensor, row, data);
    const width = t.elementCount(tensor.shape.slice(1));
    this.enqueue('writeRows', [tensor, data], [tensor], () => storageOf(tensor).data.set(storageOf(data).data, row * width));
  }

  async load(sources: t.StoredTensor | readonly t.StoredTensor[], role: t.WeightRole): Promise<t.Tensor> {
    this.demandAlive();
    const list = Array.isArray(sources) ? (sources as readonly t.StoredTensor[]) : [sources as t.StoredTensor];
    const shape = t.checkLoad(list, role);
    const values = new Float32Array(t.elementCount(shape));
    let at = 0;
    for (const source of list) {
      const part = await readStored(source);
      values.set(part, at);
      at += part.length;
    }
    this.demandAlive();
    return this.#hold('f32', shape, new Storage(values, this.#memory, true));
  }

  dequantize(weight: t.Tensor): t.Tensor {
    const shape = t.checkDequantize(weight);
    return this.floatOp('dequantize', [weight], shape, (out) => out.set(weightValues(weight)));
  }

  reshape(x: t.Tensor, shape: t.Shape): t.Tensor {
    this.demandAlive();
    return this.#hold(x.dtype, t.checkReshape(x, shape), this.#own(x));
  }

  async finish(): Promise<t.StreamMark> {
    this.demandAlive();
    const failure = this.#failure;
    this.#failure = undefined;
    const mark = { seconds: performance.now() / 1000, memory: this.#memory.use() };
    if (failure) throw failure;
    return mark;
  }

  memory(): t.MemoryUse {
    this.demandAlive();
    return this.#memory.use();
  }

  resetPeak(): void {
    this.demandAlive();
    this.#memory.resetPeak();
  }

  record(build: () => void): t.Program {
    this.demandAlive();
    if (this.#recording) throw new t.KvsiftError('invalid_argument', 'record: a recording is under way', { op: 'record' });
    const recording: Recording = { steps: [], held: new Set() };
    const release = () => {
      for (const storage of recording.held) storage.release();
      recording.held.clear();
    };
    this.#recording = recording;
    try {
      build();
    } catch (error) {
      release();
      throw error;
    } finally {
      this.#recording = undefined;
    }
    let open = true;
    const program: t.Program = {
      run: () => {
        this.demandAlive();
        if (!open) throw new t.KvsiftError('disposed', 'run: the program was disposed', { op: 'run' });
        for (const step of recording.steps) step();
      },
      dispose: () => {
        if (open) release();
        open = false;
      },
      [Symbol.dispose]: () => program.dispose(),
    };
    return program;
  }

  async dispose(): Promise<void> {
    this.#memory.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose();
  }

  protected demandAlive(): void {
    if (!this.#memory.open) throw new t.KvsiftError('disposed', 'this backend was disposed');
  }

  /** Memory for a result. */
  protected make(dtype: t.DType, shape: t.Shape): t.Tensor {
    this.demandAlive();
    return this.#hold(dtype, shape, new Storage(hostArray(dtype, shape), this.#memory, false));
  }

  /** Runs or records an op. One that fails leaves its results without numbers, and so do those that read them. */
  protected enqueue(op: string, inputs: readonly t.Tensor[], outputs: readonly t.Tensor[], compute: () => void): void {
    this.demandAlive();
    const from = inputs.map((x) => this.#own(x));
    const to = outputs.map((x) => this.#own(x));
    const step = () => {
      const inherited = from.map(({ failure }) => failure).find((failure) => failure);
      const failure = inherited ?? this.#attempt(op, compute);
      for (const storage of to) storage.failure = failure;
    };
    const recording = this.#recording;
    if (recording === undefined) {
      step();
      return;
    }
    for (const storage of [...from, ...to]) if (!recording.held.has(storage)) recording.held.add(storage.take());
    recording.steps.push(step);
  }

  /** An op with one f32 result. */
  protected floatOp(op: string, inputs: readonly t.Tensor[], shape: t.Shape, compute: (out: Float32Array) => void): t.Tensor {
    return this.#resultOf(op, inputs, 'f32', shape, (out) => compute(floats(out)));
  }

  /** An op with one result of any dtype. */
  protected anyOp(
    op: string,
    inputs: readonly t.Tensor[],
    dtype: t.DType,
    shape: t.Shape,
    compute: (out: t.HostArray) => void,
  ): t.Tensor {
    return this.#resultOf(op, inputs, dtype, shape, (out) => compute(storageOf(out).data));
  }

  #resultOf(op: string, inputs: readonly t.Tensor[], dtype: t.DType, shape: t.Shape, compute: (out: t.Tensor) => void): t.Tensor {
    for (const input of inputs) this.#own(input);
    const out = this.make(dtype, shape);
    this.enqueue(op, inputs, [out], () => compute(out));
    return out;
  }

  #attempt(op: string, compute: () => void): t.KvsiftError | undefined {
    try {
      compute();
      return undefined;
    } catch (error) {
      const failure = t.isKvsiftError(error)
        ? error
        : new t.KvsiftError('backend_failure', `${op}: ${String(error)}`, { op }, { cause: error });
      this.#failure ??= failure;
      return failure;
    }
  }

  #own(x: t.Tensor): Storage {
    const storage = storageOf(x);
    if (storage.memory === this.#memory) return storage;
    throw new t.KvsiftError('invalid_argument', 'this tensor belongs to another backend');
  }

  #hold(dtype: t.DType, shape: t.Shape, storage: Storage): t.Tensor {
    return new HostTensor(dtype, [...shape], storage, this.#forgotten);
  }
}
