import {
  type Attended,
  ascendingRows,
  attendHeld,
  demandNumber,
  demandTensor,
  type ExpectedTensor,
  joinStorages,
  LayerTensors,
  type LayerView,
  type RunMemory,
  readStored,
  refuseOthers,
  type SavedState,
  type Standing,
  type Storage,
} from '@kvsift/policy';
import type { AttentionShape, Backend, Tensor } from '@kvsift/tensor';

/** One direction for two layers, and each layer's lengths: what a pair's merged entries are put together from. */
export interface MergedPair {
  /** [kvHeads · entries, headDim] in the cache's type. */
  readonly keys: Tensor;
  readonly values: Tensor;
  /** Lengths of both layers' keys and values, the lower layer's first: f32 [kvHeads, entries]. */
  readonly sizes: readonly { readonly keySizes: Tensor; readonly valueSizes: Tensor }[];
  /** Original positions, i32 [kvHeads, entries], where the cache keeps them. */
  readonly positions?: Tensor;
}

/** Merged entries of the pairs of a sequence, by their upper layer; forks share them, as nothing is ever written to them. */
export class MergedPairs implements Disposable {
  constructor(
    private readonly shape: { softmax?: Pick<AttentionShape, 'scale' | 'softcap'> } = {},
    private readonly shared = { keys: new LayerTensors(), values: new LayerTensors(), positions: new LayerTensors() },
    private readonly own = { keySizes: new LayerTensors(), valueSizes: new LayerTensors() },
  ) {}

  /** Takes over what two layers have in common. @param upper the view of the upper layer */
  set({ layer: upper, keep, attention }: LayerView, { keys, values, sizes, positions }: MergedPair): void {
    const { scale, softcap } = attention;
    this.shape.softmax = { scale, ...(softcap !== undefined && { softcap }) };
    this.shared.keys.set(upper, keep(keys));
    this.shared.values.set(upper, keep(values));
    if (positions) this.shared.positions.set(upper, keep(positions));
    for (const [index, { keySizes, valueSizes }] of sizes.entries()) {
      this.own.keySizes.set(upper - 1 + index, keep(keySizes));
      this.own.valueSizes.set(upper - 1 + index, keep(valueSizes));
    }
  }

  /** Attention of query rows of a layer over its merged entries; undefined where it has none. */
  attend(layer: number, backend: Backend, q: Tensor): Attended | undefined {
    const [keySizes, valueSizes] = [this.own.keySizes.get(layer), this.own.valueSizes.get(layer)];
    const [keys, values] = [this.#shared('keys', layer), this.#shared('values', layer)];
    const { softmax } = this.shape;
    if (!keySizes || !valueSizes || !keys || !values || !softmax) return undefined;
    const [kvHeads = 0, entries = 0] = keySizes.shape;
    const spread = (sizes: Tensor) => backend.reshape(sizes, [kvHeads, 1, entries]);
    const held = {
      kvHeads,
      headDim: keys.shape[1] ?? 0,
      products: (queries: Tensor) =>
        backend.zip(backend.matmul(queries, readStored(backend, keys, kvHeads), { transposeB: true }), spread(keySizes), 'mul'),
      mix: (weights: Tensor) =>
        backend.matmul(backend.zip(weights, spread(valueSizes), 'mul'), readStored(backend, values, kvHeads)),
    };
    return attendHeld(backend, q, held, softmax);
  }

  /** Original positions of a layer's merged entries, i32 [kvHeads, entries], where they are known. */
  positions(layer: number): Tensor | undefined {
    return this.own.keySizes.get(layer) && this.#shared('positions', layer);
  }

  /** Entries over all layers and heads, and bytes of what they are put together from. */
  held(layers: number): { readonly entries: number; readonly bytes: number } {
    let entries = 0;
    for (let layer = 0; layer < layers; layer++) {
      const [kvHeads = 0, count = 0] = this.own.keySizes.get(layer)?.shape ?? [];
      entries += kvHeads * count;
    }
    const bytes = [...Object.values(this.shared), ...Object.values(this.own)].reduce((sum, part) => sum + part.bytes, 0);
    return { entries, bytes };
  }

  /** How these pairs get into a session file. @param uppers upper layers that must have them */
  memory(uppers: readonly number[]): RunMemory {
    const parts = Object.entries({ ...this.shared, ...this.own }).map(([name, part]) => [name, part.storage] as const);
    const facts: Storage = {
      save: () => ({ numbers: { ...this.shape.softmax }, tensors: {} }),
      restore: ({ numbers: { scale = 0, softcap } }) => {
        if (uppers.length > 0) this.shape.softmax = { scale, ...(softcap !== undefined && { softcap }) };
      },
    };
    return joinStorages({ ...Object.fromEntries(parts), facts }, (state, standing) => checkPairs(state, standing, uppers));
  }

  fork(): MergedPairs {
    const { keys, values, positions } = this.shared;
    const { keySizes, valueSizes } = this.own;
    return new MergedPairs(
      { ...this.shape },
      { keys: keys.fork(), values: values.fork(), positions: positions.fork() },
      { keySizes: keySizes.fork(), valueSizes: valueSizes.fork() },
    );
  }

  dispose(): void {
    for (const part of [...Object.values(this.shared), ...Object.values(this.own)]) part.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** What a layer shares, under its own name where it is the upper one. */
  #shared(part: 'keys' | 'values' | 'positions', layer: number): Tensor | undefined {
    return this.shared[part].get(layer) ?? this.shared[part].get(layer + 1);
  }
}

/** @throws KvsiftError `file_malformed` */
function checkPairs(state: SavedState, standing: Standing, uppers: readonly number[]): void {
  const { model, kvType, seen } = standing;
  const { kvHeads, headDim } = model;
  const shared = ['keys', 'values', 'positions'];
  const own = ['keySizes', 'valueSizes'];
  const known = uppers.flatMap((upper) => [
    ...shared.map((name) => `${name}.${upper}`),
    ...own.flatMap((name) => [`${name}.${upper - 1}`, `${name}.${upper}`]),
  ]);
  const facts = uppers.length > 0 ? ['facts.scale', 'facts.softcap'] : [];
  refuseOthers(state, (name) => known.includes(name) || facts.includes(name));
  const tracked = Object.keys(state.tensors).some((name) => name.startsWith('positions.'));
  for (const upper of uppers) {
    const demand = (name: string, expected: ExpectedTensor) => demandTensor(state, name, expected);
    const [rows = 0] = demand(`keys.${upper}`, { dtype: kvType, shape: [[kvHeads, kvHeads * seen], headDim] }).shape;
    const entries = rows / kvHeads;
    demand(`values.${upper}`, { dtype: kvType, shape: [kvHeads * entries, headDim] });
    for (const layer of [upper - 1, upper])
      for (const name of own) demand(`${name}.${layer}`, { dtype: 'f32', shape: [kvHeads, entries] });
    if (tracked)
      demand(`positions.${upper}`, { dtype: 'i32', shape: [kvHeads, entries], numbers: ascendingRows(entries, seen - 1) });
  }
  if (uppers.length === 0) return;
  const atLeast0 = [0, Number.POSITIVE_INFINITY] as const;
  demandNumber(state, 'facts.scale', atLeast0, 'real');
  if ('facts.softcap' in state.numbers) demandNumber(state, 'facts.softcap', atLeast0, 'real');
}
