import { type DType, type HostArray, KvsiftError, type KvType } from '@kvsift/tensor';
import type { ModelShape } from './contract.js';

/** A tensor of a file, not yet a backend's. */
export interface SavedTensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly data: HostArray;
}

/** What a file says that a run has gathered. */
export interface SavedState {
  readonly numbers: Readonly<Record<string, number>>;
  readonly tensors: Readonly<Record<string, SavedTensor>>;
}

/** The cache that a file comes with: what a run has gathered must fit it. */
export interface Standing {
  readonly model: ModelShape;
  /** What keys and values are stored in. */
  readonly kvType: KvType;
  /** Tokens seen, evicted ones included. */
  readonly seen: number;
  /** Entries of the longest head of each layer. */
  readonly lengths: readonly number[];
}

/** A size or value that is known, or the least and the most that it may be. */
export type Range = number | readonly [least: number, most: number];

/** What a tensor must be. */
export interface ExpectedTensor {
  readonly dtype: DType;
  readonly shape: readonly Range[];
  /** What its numbers must be; that floats are numbers is seen to by whoever reads the file. */
  readonly numbers?: ExpectedNumbers;
}

/** What each number of a tensor must be. */
export interface ExpectedNumbers {
  /** In words, behind "expected". */
  readonly are: string;
  /** Whether `value`, number `at` of `data`, may be there. */
  fits(value: number, at: number, data: HostArray): boolean;
}

/** Rows of `width` whole numbers from 0 to `most` that ascend, no number twice in a row. */
export function ascendingRows(width: number, most: number): ExpectedNumbers {
  return {
    are: `ascending numbers up to ${most}`,
    fits: (value, at, data) => value >= 0 && value <= most && (at % width === 0 || value > (data[at - 1] ?? 0)),
  };
}

/** Entries of a layer's prompt or text have been evicted: what follows evictions must be there. */
export function hasEvicted({ model, lengths, seen }: Standing, layer: number): boolean {
  return (lengths[layer] ?? 0) < seen && model.windows?.[layer] === undefined;
}

/** A number of a saved state, within a range that includes its ends. @throws KvsiftError `file_malformed` where the state has no such number, or one that cannot be */
export function demandNumber(
  { numbers }: SavedState,
  name: string,
  range: readonly [least: number, most: number],
  kind: 'whole' | 'real' = 'whole',
): number {
  const value = numbers[name];
  if (value !== undefined && (kind === 'real' || Number.isInteger(value)) && isWithin(value, range)) return value;
  return malformed(name, `is ${value ?? 'missing'}`, `a ${kind} number, ${formatRange(range)}`);
}

/** A tensor of a saved state, of the dtype, shape and numbers that are expected. @throws KvsiftError `file_malformed` where the state has no such tensor, or one that cannot be */
export function demandTensor({ tensors }: SavedState, name: string, expected: ExpectedTensor): SavedTensor {
  const tensor = tensors[name];
  const wanted = `${expected.dtype} [${expected.shape.map(formatRange).join(', ')}]`;
  if (tensor === undefined) return malformed(name, 'is missing', wanted);
  const { dtype, shape, data } = tensor;
  const fits = shape.length === expected.shape.length && expected.shape.every((range, axis) => isWithin(shape[axis] ?? 0, range));
  if (dtype !== expected.dtype || !fits) malformed(name, `is ${dtype} [${shape.join(', ')}]`, wanted);
  const { numbers } = expected;
  const wrong = numbers === undefined ? -1 : data.findIndex((value, at) => !numbers.fits(value, at, data));
  if (wrong >= 0) malformed(name, `holds ${data[wrong]} at ${wrong}`, numbers?.are ?? '');
  return tensor;
}

/** The layers that names speak of. @throws KvsiftError `file_malformed` for a name that is no layer of the model */
export function layersNamed(names: Readonly<Record<string, unknown>>, { model }: Standing): number[] {
  return Object.keys(names).map((name) => {
    const layer = Number(name);
    if (String(layer) === name && Number.isInteger(layer) && layer >= 0 && layer < model.layers) return layer;
    return malformed(name, 'is no layer', `0 to ${model.layers - 1}`);
  });
}

/** Refuses what a policy did not write. @throws KvsiftError `file_malformed` naming what a state holds and nobody knows */
export function refuseOthers(state: SavedState, isKnown: (name: string) => boolean): void {
  const other = [...Object.keys(state.numbers), ...Object.keys(state.tensors)].find((name) => !isKnown(name));
  if (other !== undefined) malformed(other, 'is unknown', 'nothing of that name');
}

function isWithin(value: number, range: Range): boolean {
  return typeof range === 'number' ? value === range : value >= range[0] && value <= range[1];
}

function formatRange(range: Range): string {
  if (typeof range === 'number') return String(range);
  return range[1] === Number.POSITIVE_INFINITY ? `${range[0]} or more` : `${range[0]} to ${range[1]}`;
}

function malformed(name: string, found: string, expected: string): never {
  throw new KvsiftError('file_malformed', `${name} ${found}, expected ${expected}`, { name });
}
