import {
  ascendingRows,
  demandNumber,
  demandTensor,
  type ExpectedTensor,
  joinStorages,
  LayerTensors,
  type LayerView,
  type RunMemory,
  type RunState,
  refuseOthers,
  type SavedState,
  type Standing,
} from '@kvsift/policy';
import { type AttentionShape, byteLength, type Selection, type Tensor } from '@kvsift/tensor';
import { type NarrowKeys, narrowType } from './channels.js';

type Softmax = Pick<AttentionShape, 'scale' | 'softcap'>;

interface Facts extends Softmax {
  readonly channels: Omit<Selection, 'indices' | 'offsets'>;
}

/** Narrow storage of each layer of a sequence; forks share it, as nothing is ever written to it. */
export class NarrowLayers implements Disposable {
  constructor(
    private readonly facts = new Map<number, Facts>(),
    private readonly parts = {
      keys: new LayerTensors(),
      values: new LayerTensors(),
      indices: new LayerTensors(),
      offsets: new LayerTensors(),
      positions: new LayerTensors(),
    },
  ) {}

  /** Takes over a layer's tensors. */
  set({ layer, keep, attention }: LayerView, { keys, values, channels, positions }: NarrowKeys): void {
    const { indices, offsets, ...counts } = channels;
    this.facts.set(layer, { ...attention, channels: counts });
    for (const [name, tensor] of Object.entries({ keys, values, indices, offsets, ...(positions && { positions }) })) {
      this.parts[name as keyof typeof this.parts].set(layer, keep(tensor));
    }
  }

  get(layer: number): { readonly narrow: NarrowKeys; readonly softmax: Softmax } | undefined {
    const facts = this.facts.get(layer);
    const [keys, values, indices, offsets] = Object.values(this.parts).map((part) => part.get(layer));
    if (facts === undefined || !keys || !values || !indices || !offsets) return undefined;
    return { narrow: { keys, values, channels: { ...facts.channels, indices, offsets } }, softmax: facts };
  }

  /** Original positions of a layer's entries, i32 [kvHeads, entries], where they are known. */
  positions(layer: number): Tensor | undefined {
    return this.parts.positions.get(layer);
  }

  /** Entries over all layers and heads, and bytes of their keys, values and positions. */
  held(): { readonly entries: number; readonly bytes: number } {
    let [entries, bytes] = [0, 0];
    for (const layer of this.facts.keys()) {
      const narrow = this.get(layer)?.narrow;
      if (narrow === undefined) continue;
      entries += narrow.keys.shape[0] ?? 0;
      for (const { dtype, shape } of [narrow.keys, narrow.values, this.positions(layer) ?? []].flat())
        bytes += byteLength(dtype, shape);
    }
    return { entries, bytes };
  }

  /**
   * How these layers get into a session file.
   * @param width channels that keys keep
   * @param isNarrow whether a layer has narrow entries
   */
  memory(width: number, isNarrow: (layer: number) => boolean): RunMemory {
    const parts = Object.entries(this.parts).map(([name, part]) => [name, part.storage] as const);
    const facts = { save: () => this.#saveFacts(), restore: (state: RunState) => this.#restoreFacts(state) };
    return joinStorages({ ...Object.fromEntries(parts), facts }, (state, standing) =>
      checkNarrow(state, standing, width, isNarrow),
    );
  }

  #saveFacts(): RunState {
    const numbers: Record<string, number> = {};
    for (const [layer, { scale, softcap, channels }] of this.facts) {
      const named = { scale, ...(softcap !== undefined && { softcap }), ...channels };
      for (const [name, value] of Object.entries(named)) numbers[`${name}.${layer}`] = value;
    }
    return { numbers, tensors: {} };
  }

  #restoreFacts({ numbers }: RunState): void {
    for (const layer of Object.keys(numbers).flatMap((name) => (name.startsWith('scale.') ? [name.slice(6)] : []))) {
      const { [`scale.${layer}`]: scale = 0, [`softcap.${layer}`]: softcap, [`perHead.${layer}`]: perHead = 0 } = numbers;
      const { [`total.${layer}`]: total = 0 } = numbers;
      this.facts.set(Number(layer), {
        scale,
        ...(softcap !== undefined && { softcap }),
        channels: { total, perHead, maxPerHead: perHead },
      });
    }
  }

  fork(): NarrowLayers {
    const { keys, values, indices, offsets, positions } = this.parts;
    const twins = {
      keys: keys.fork(),
      values: values.fork(),
      indices: indices.fork(),
      offsets: offsets.fork(),
      positions: positions.fork(),
    };
    return new NarrowLayers(new Map(this.facts), twins);
  }

  dispose(): void {
    for (const part of Object.values(this.parts)) part.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** @throws KvsiftError `file_malformed` */
function checkNarrow(state: SavedState, standing: Standing, width: number, isNarrow: (layer: number) => boolean): void {
  const { model, kvType, seen } = standing;
  const { kvHeads, headDim } = model;
  const narrow = Array.from({ length: model.layers }, (_, layer) => layer).filter(isNarrow);
  const counts = { total: kvHeads * width, perHead: width, maxPerHead: width };
  const factNames = ['scale', 'softcap', ...Object.keys(counts)].map((name) => `facts.${name}`);
  const names = ['keys', 'values', 'indices', 'offsets', 'positions', ...factNames];
  refuseOthers(state, (name) => narrow.some((layer) => names.some((part) => name === `${part}.${layer}`)));
  const tracked = Object.keys(state.tensors).some((name) => name.startsWith('positions.'));
  for (const layer of narrow) {
    const demand = (name: string, expected: ExpectedTensor) => demandTensor(state, `${name}.${layer}`, expected);
    const [rows = 0] = demand('values', { dtype: kvType, shape: [[kvHeads, kvHeads * seen], headDim] }).shape;
    const entries = rows / kvHeads;
    demand('keys', { dtype: narrowType(kvType, width), shape: [kvHeads * entries, width] });
    demand('indices', { dtype: 'i32', shape: [counts.total], numbers: ascendingRows(width, headDim - 1) });
    const offsets = { are: `multiples of ${width}`, fits: (value: number, head: number) => value === head * width };
    demand('offsets', { dtype: 'i32', shape: [kvHeads + 1], numbers: offsets });
    if (tracked) demand('positions', { dtype: 'i32', shape: [kvHeads, entries], numbers: ascendingRows(entries, seen - 1) });
    const atLeast0 = [0, Number.POSITIVE_INFINITY] as const;
    demandNumber(state, `facts.scale.${layer}`, atLeast0, 'real');
    if (`facts.softcap.${layer}` in state.numbers) demandNumber(state, `facts.softcap.${layer}`, atLeast0, 'real');
    for (const [name, count] of Object.entries(counts)) demandNumber(state, `facts.${name}.${layer}`, [count, count]);
  }
}
