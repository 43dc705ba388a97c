import * as t from '@kvsift/tensor';
import type { AddonBackend } from './addon-backend.js';
import { AddonTensor } from './addon-tensor.js';
import { Tape } from './tape.js';

/** Ops that compute something from their arguments and are the same on every part. */
type OpName = Exclude<
  keyof t.Backend,
  | 'info'
  | 'upload'
  | 'empty'
  | 'write'
  | 'load'
  | 'finish'
  | 'memory'
  | 'resetPeak'
  | 'record'
  | 'place'
  | 'selection'
  | 'uniform'
  | 'dispose'
  | typeof Symbol.asyncDispose
>;

/** Tensors that an op changes in place, else the weight or the cache that it reads: the first decides where it runs. Of all others the largest operand does. */
const fixed: { readonly [Name in OpName]: (...args: Parameters<t.Backend[Name]>) => unknown } = {
  writeRows: (tensor) => tensor,
  kvAppend: (segments) => segments,
  kvGather: (_from, _selection, to) => to,
  kvCompact: (view) => view,
  kvRead: (view) => view,
  kvReplace: (view) => view,
  attention: (_q, segments, { columnSums }) => columnSums ?? segments,
  attentionColumns: (_q, view) => view,
  attentionRows: (_q, view) => view,
  embedding: (table) => table,
  linear: (_x, weight) => weight,
  feedForward: (_x, { gateUp }) => gateUp,
  projectedNorms: (_values, weight) => weight,
  rmsNorm: (_x, weight) => weight,
  ...anywhere([
    ...(['dequantize', 'reshape', 'gated', 'softcap', 'splitColumns', 'rope', 'sample'] as const),
    ...([
      'pool',
      'top',
      'topShares',
      'roundShares',
      'map',
      'zip',
      'reduce',
      'evaluate',
      'softmax',
      'cumsum',
      'rank',
      'matmul',
      'covariance',
    ] as const),
    ...(['slice', 'concat', 'transpose', 'toFloat', 'toInt'] as const),
  ]),
};

function anywhere<Name extends OpName>(names: readonly Name[]): { readonly [Key in Name]: () => undefined } {
  return Object.fromEntries(names.map((name) => [name, () => undefined])) as { readonly [Key in Name]: () => undefined };
}

/** Ops of `fixed` that change tensors, which must lie together. */
const changing: ReadonlySet<OpName> = new Set(['writeRows', 'kvAppend', 'kvGather', 'kvCompact', 'kvReplace']);

/** The ops that `SplitBackend` gets from `fixed`. */
type Ops = { readonly [Name in OpName]: t.Backend[Name] };
const WithOps = class {} as new () => Ops;

/** What the views of one split backend share. */
interface Core {
  readonly parts: readonly AddonBackend[];
  /** Share of a model that the parts up to each one hold; the last is 1. */
  readonly bounds: readonly number[];
  /** One view per part. */
  readonly places: SplitBackend[];
  tape: Tape | undefined;
}

/**
 * Several backends of one addon as one: each op runs where its weight, its cache or its largest operand lies, and operands that lie elsewhere are copied
 * there. New memory is made on the part that this view of it stands for (`place`).
 */
export class SplitBackend extends WithOps implements t.Backend {
  readonly info: t.BackendInfo;
  readonly #core: Core;
  readonly #home: AddonBackend;

  /** @param weights of the parts, in their order: what share of a model each takes */
  static over(parts: readonly AddonBackend[], weights: readonly number[], info: t.BackendInfo): SplitBackend {
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    let sum = 0;
    const bounds = weights.map((weight) => {
      sum += weight;
      return sum / total;
    });
    const core: Core = { parts, bounds, places: [], tape: undefined };
    core.places.push(...parts.map((part) => new SplitBackend(core, part, info)));
    return placeAt(core, 0);
  }

  private constructor(core: Core, home: AddonBackend, info: t.BackendInfo) {
    super();
    this.#core = core;
    this.#home = home;
    this.info = info;
  }

  static {
    for (const name of Object.keys(fixed) as OpName[]) {
      Object.defineProperty(SplitBackend.prototype, name, {
        value(this: SplitBackend, ...args: unknown[]) {
          return this.#run(name, args);
        },
      });
    }
  }

  place(share: number): t.Backend {
    const { bounds } = this.#core;
    const at = bounds.findIndex((bound) => share < bound);
    return placeAt(this.#core, at < 0 ? bounds.length - 1 : at);
  }

  upload(data: t.HostArray, dtype: t.DType, shape: t.Shape): t.Tensor {
    return this.#here().upload(data, dtype, shape);
  }

  empty(dtype: t.DType, shape: t.Shape): t.Tensor {
    return this.#here().empty(dtype, shape);
  }

  selection(indices: Int32Array, offsets: Int32Array): t.Selection {
    return this.#here().selection(indices, offsets);
  }

  uniform(key: t.RandomKey, rows: number, columns: number): t.Tensor {
    return this.#here().uniform(key, rows, columns);
  }

  load(sources: t.StoredTensor | readonly t.StoredTensor[], role: t.WeightRole): Promise<t.Tensor> {
    return this.#home.load(sources, role);
  }

  write(tensor: t.Tensor, data: t.HostArray | t.Tensor): void {
    const part = this.#partOf(tensor);
    this.#core.tape?.changed(tensor);
    if (!isTensor(data) || this.#partOf(data) === part) this.#at(part).write(tensor, data);
    else if (this.#core.tape === undefined) part.receive(tensor, this.#partOf(data), data);
    else throw new t.KvsiftError('unsupported', 'write: not from another device while a program is recorded');
  }

  async finish(): Promise<t.StreamMark> {
    const ends = await Promise.allSettled(this.#core.parts.map((part) => part.finish()));
    const marks = ends.map((end) => {
      if (end.status === 'rejected') throw end.reason;
      return end.value;
    });
    return { seconds: Math.max(...marks.map((mark) => mark.seconds)), memory: together(marks.map((mark) => mark.memory)) };
  }

  memory(): t.MemoryUse {
    return together(this.#core.parts.map((part) => part.memory()));
  }

  resetPeak(): void {
    for (const part of this.#core.parts) part.resetPeak();
  }

  record(build: () => void): t.Program {
    if (this.#core.tape !== undefined) {
      throw new t.KvsiftError('invalid_argument', 'record: a recording is under way already', { op: 'record' });
    }
    const tape = new Tape();
    this.#core.tape = tape;
    try {
      build();
      return tape.end();
    } catch (error) {
      tape.end().dispose();
      throw error;
    } finally {
      this.#core.tape = undefined;
    }
  }

  async dispose(): Promise<void> {
    await Promise.all(this.#core.parts.map((part) => part.dispose()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose();
  }

  /** The home of new memory, ready for an op. */
  #here(): AddonBackend {
    return this.#at(this.#home);
  }

  #at(part: AddonBackend): AddonBackend {
    this.#core.tape?.goTo(part);
    return part;
  }

  #partOf(tensor: t.Tensor): AddonBackend {
    const part = tensor instanceof AddonTensor ? this.#core.parts.find((one) => one === tensor.owner) : undefined;
    if (part === undefined) throw new t.KvsiftError('invalid_argument', 'this tensor belongs to another backend');
    return part;
  }

  #run(name: OpName, args: readonly unknown[]): unknown {
    const part = this.#choose(name, args);
    const copies: t.Tensor[] = [];
    try {
      const moved = args.map((arg) => replaced(arg, (tensor) => this.#moved(tensor, part, copies)));
      if (changing.has(name)) for (const tensor of staying(name, args)) this.#core.tape?.changed(tensor);
      const op = this.#at(part)[name] as (this: t.Backend, ...args: readonly unknown[]) => unknown;
      return op.apply(part, moved);
    } finally {
      for (const copy of copies) copy.dispose();
    }
  }

  #choose(name: OpName, args: readonly unknown[]): AddonBackend {
    const stays = staying(name, args);
    const [first] = stays;
    if (first !== undefined) {
      const part = this.#partOf(first);
      if (changing.has(name) && stays.some((tensor) => this.#partOf(tensor) !== part)) {
        throw new t.KvsiftError('invalid_argument', `${name}: what this op changes lies on several devices`, { op: name });
      }
      return part;
    }
    const operands = tensorsIn(args);
    const [largest] = operands.sort((a, b) => bytesOf(b) - bytesOf(a));
    return largest === undefined ? this.#home : this.#partOf(largest);
  }

  #moved(tensor: t.Tensor, part: AddonBackend, copies: t.Tensor[]): t.Tensor {
    const from = this.#partOf(tensor);
    if (from === part) return tensor;
    const { tape } = this.#core;
    if (tape !== undefined) return tape.moved(tensor, from, part);
    const copy = part.empty(tensor.dtype, tensor.shape);
    copies.push(copy);
    part.receive(copy, from, tensor);
    return copy;
  }
}

function together(uses: readonly t.MemoryUse[]): t.MemoryUse {
  const sum = (of: (use: t.MemoryUse) => number) => uses.reduce((total, use) => total + of(use), 0);
  return { bytes: sum((use) => use.bytes), peakBytes: sum((use) => use.peakBytes), weightBytes: sum((use) => use.weightBytes) };
}

function placeAt({ places }: Core, index: number): SplitBackend {
  const place = places[index];
  if (place === undefined) throw new t.KvsiftError('invalid_argument', 'a split backend needs parts');
  return place;
}

function isTensor(value: unknown): value is t.Tensor {
  return value instanceof AddonTensor;
}

function bytesOf({ dtype, shape }: t.Tensor): number {
  return t.byteLength(dtype, shape);
}

/** The tensors of an op that are not moved. */
function staying(name: OpName, args: readonly unknown[]): t.Tensor[] {
  return tensorsIn((fixed[name] as (...args: readonly unknown[]) => unknown)(...args));
}

/** All tensors in an argument. */
function tensorsIn(value: unknown): t.Tensor[] {
  const found: t.Tensor[] = [];
  replaced(value, (tensor) => {
    found.push(tensor);
    return tensor;
  });
  return found;
}

/** An argument with its tensors exchanged; what holds none is returned as it is. */
function replaced(value: unknown, exchange: (tensor: t.Tensor) => t.Tensor): unknown {
  if (isTensor(value)) return exchange(value);
  if (Array.isArray(value)) return value.map((item) => replaced(item, exchange));
  if (typeof value !== 'object' || value === null || Object.getPrototypeOf(value) !== Object.prototype) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, replaced(item, exchange)]));
}
