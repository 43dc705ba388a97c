import {
  bfloatToFloat,
  byteLength,
  dequantizeBlocks,
  encodeQ8_0,
  floatToBfloat,
  floatToHalf,
  halfToFloat,
  KvsiftError,
  type KvType,
  type KvView,
  type Selection,
  type Tensor,
} from '@kvsift/tensor';
import { integers, storageOf } from '../host-tensor.js';

/** All tensors of a view. */
export function viewTensors({ keys, values, lengths, starts, positions, blocks }: KvView): Tensor[] {
  return [keys, values, lengths, starts, ...(positions ? [positions] : []), ...(blocks ? [blocks.table] : [])];
}

/** Tensors of a view that appending and gathering change. */
export function viewContents({ keys, values, lengths, positions }: KvView): Tensor[] {
  return [keys, values, lengths, ...(positions ? [positions] : [])];
}

type Elements = Float32Array | Uint16Array | Uint8Array;

/** A stored row as numbers. */
function decode(dtype: KvType, row: Elements): Float32Array {
  if (row instanceof Uint8Array) return dequantizeBlocks('q8_0', row);
  if (row instanceof Float32Array) return row;
  return Float32Array.from(row, dtype === 'f16' ? halfToFloat : bfloatToFloat);
}

/** Numbers as a stored row. */
function encode(dtype: KvType, values: Float32Array): Elements {
  if (dtype === 'q8_0') return encodeQ8_0(values);
  return dtype === 'f32' ? values : Uint16Array.from(values, dtype === 'f16' ? floatToHalf : floatToBfloat);
}

/** Rows of a view as numbers, with its addressing. */
export class KvRows {
  readonly #keys: Elements;
  readonly #values: Elements;
  /** Array elements of a row. */
  readonly #width: number;
  readonly lengths: Int32Array;
  readonly #starts: Int32Array;
  readonly #table: Int32Array | undefined;
  readonly positions: Int32Array | undefined;
  readonly #rows: number;

  constructor(
    private readonly op: string,
    readonly view: KvView,
  ) {
    this.#keys = storageOf(view.keys).data as Elements;
    this.#values = storageOf(view.values).data as Elements;
    this.#width = view.dtype === 'q8_0' ? byteLength('q8_0', [view.headDim]) : view.headDim;
    this.lengths = integers(view.lengths);
    this.#starts = integers(view.starts);
    this.#table = view.blocks && integers(view.blocks.table);
    this.positions = view.positions && integers(view.positions);
    this.#rows = view.keys.shape[0] ?? 0;
  }

  /** Row of an entry. @throws KvsiftError `invalid_argument` where it lies outside the memory */
  row(head: number, slot: number): number {
    const { blocks } = this.view;
    let row = (this.#starts[head] ?? 0) + slot;
    if (blocks !== undefined && this.#table !== undefined) {
      const width = blocks.table.shape[1] ?? 0;
      const block = Math.floor(slot / blocks.size);
      row = block < width ? (this.#table[head * width + block] ?? -1) * blocks.size + (slot % blocks.size) : -1;
    }
    if (row >= 0 && row < this.#rows) return row;
    throw new KvsiftError(
      'invalid_argument',
      `${this.op}: entry ${slot} of head ${head} lies outside the ${this.#rows} rows of the cache`,
      {
        op: this.op,
      },
    );
  }

  /** Entries of one head as [length, headDim]. */
  head(part: 'keys' | 'values', head: number): Float32Array {
    const { headDim } = this.view;
    const length = this.lengths[head] ?? 0;
    const source = part === 'keys' ? this.#keys : this.#values;
    const out = new Float32Array(length * headDim);
    for (let slot = 0; slot < length; slot++) {
      const from = this.row(head, slot) * this.#width;
      out.set(decode(this.view.dtype, source.subarray(from, from + this.#width)), slot * headDim);
    }
    return out;
  }

  write(part: 'keys' | 'values', row: number, values: Float32Array, from: number): void {
    const { headDim } = this.view;
    const target = part === 'keys' ? this.#keys : this.#values;
    target.set(encode(this.view.dtype, values.subarray(from, from + headDim)), row * this.#width);
  }

  /** Copies an entry bit for bit. */
  copy(row: number, from: KvRows, source: number): void {
    const width = this.#width;
    this.#keys.set(from.#keys.subarray(source * width, (source + 1) * width), row * width);
    this.#values.set(from.#values.subarray(source * width, (source + 1) * width), row * width);
    if (this.positions && from.positions) this.positions[row] = from.positions[source] ?? 0;
  }
}

/** Checks the room of every head before it writes anything. */
export function append(view: KvView, rows: number, k: Float32Array, v: Float32Array, positions: Int32Array, first: number): void {
  const cache = new KvRows('kvAppend', view);
  const { kvHeads, headDim } = view;
  const targets = Array.from({ length: kvHeads }, (_, head) =>
    Array.from({ length: rows }, (_, index) => cache.row(head, (cache.lengths[head] ?? 0) + index)),
  );
  for (const [head, own] of targets.entries()) {
    for (const [index, row] of own.entries()) {
      const from = ((first + index) * kvHeads + head) * headDim;
      cache.write('keys', row, k, from);
      cache.write('values', row, v, from);
      if (cache.positions) cache.positions[row] = positions[first + index] ?? 0;
    }
    cache.lengths[head] = (cache.lengths[head] ?? 0) + rows;
  }
}

/** Source slots of each head. @throws KvsiftError `invalid_argument` where the selection does not fit the cache */
function chosenSlots(op: string, source: KvRows, selection: Selection | 'all'): number[][] {
  const heads = Array.from({ length: source.view.kvHeads }, (_, head) => head);
  if (selection === 'all') return heads.map((head) => Array.from({ length: source.lengths[head] ?? 0 }, (_, slot) => slot));
  const refuse = (sentence: string): never => {
    throw new KvsiftError('invalid_argument', `${op}: ${sentence}`, { op });
  };
  const indices = integers(selection.indices);
  const offsets = integers(selection.offsets);
  if (offsets[0] !== 0 || offsets.at(-1) !== selection.total) refuse('the offsets do not run from 0 to the total');
  return heads.map((head) => {
    const [start = 0, end = 0] = [offsets[head], offsets[head + 1]];
    if (end < start || end > selection.total) refuse('the offsets do not ascend');
    const slots = Array.from(indices.subarray(start, end));
    const length = source.lengths[head] ?? 0;
    const wrong = slots.find((slot) => slot < 0 || slot >= length);
    if (wrong !== undefined) refuse(`slot ${wrong} of head ${head}, which holds ${length} entries`);
    return slots;
  });
}

/** Checks the selection and the room before it writes anything. */
export function gather(from: KvView, selection: Selection | 'all', to: KvView): void {
  const source = new KvRows('kvGather', from);
  const target = new KvRows('kvGather', to);
  const slots = chosenSlots('kvGather', source, selection);
  const rows = slots.map((own, head) => own.map((_, slot) => target.row(head, slot)));
  for (const [head, own] of slots.entries()) {
    for (const [slot, chosen] of own.entries()) target.copy(rows[head]?.[slot] ?? 0, source, source.row(head, chosen));
    target.lengths[head] = own.length;
  }
}

/** Checks the selection before it writes anything. */
export function compact(view: KvView, selection: Selection): void {
  const cache = new KvRows('kvCompact', view);
  const slots = chosenSlots('kvCompact', cache, selection);
  for (const [head, own] of slots.entries()) {
    const wrong = own.findIndex((slot, at) => at > 0 && slot <= (own[at - 1] ?? 0));
    if (wrong < 0) continue;
    const sentence = `slot ${own[wrong]} of head ${head} does not lie behind slot ${own[wrong - 1]}`;
    throw new KvsiftError('invalid_argument', `kvCompact: ${sentence}`, { op: 'kvCompact' });
  }
  for (const [head, own] of slots.entries()) {
    for (const [slot, chosen] of own.entries()) cache.copy(cache.row(head, slot), cache, cache.row(head, chosen));
    cache.lengths[head] = own.length;
  }
}

function demandUniform(op: string, cache: KvRows): void {
  const { maxLength } = cache.view;
  const head = cache.lengths.findIndex((length) => length !== maxLength);
  if (head < 0) return;
  throw new KvsiftError(
    'invalid_argument',
    `${op}: head ${head} holds ${cache.lengths[head]} entries, the view says that all hold ${maxLength}`,
    { op },
  );
}

export function readPart(view: KvView, part: 'keys' | 'values', start: number, end: number, out: Float32Array): void {
  const cache = new KvRows('kvRead', view);
  demandUniform('kvRead', cache);
  const { headDim, kvHeads } = view;
  for (let head = 0; head < kvHeads; head++)
    out.set(cache.head(part, head).subarray(start * headDim, end * headDim), head * (end - start) * headDim);
}

export function replacePart(view: KvView, part: 'keys' | 'values', x: Float32Array): void {
  const cache = new KvRows('kvReplace', view);
  demandUniform('kvReplace', cache);
  for (let head = 0; head < view.kvHeads; head++) {
    for (let slot = 0; slot < view.maxLength; slot++)
      cache.write(part, cache.row(head, slot), x, (head * view.maxLength + slot) * view.headDim);
  }
}
