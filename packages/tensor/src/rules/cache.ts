import { KvsiftError } from '../errors.js';
import type { AttentionSegment, KvView, Selection } from '../kv.js';
import type { AttentionOptions, AttentionShape, ColumnOptions } from '../op-options.js';
import { formatShape, type Shape } from '../shape.js';
import type { Tensor } from '../tensor.js';
import { alive, demand, dtypeIs, finite, integer, is, matrix, shapeIs } from './check.js';

/** Living tensors that fit each other. Row numbers live on the device: a backend checks them when an op runs. */
export function checkView(op: string, view: KvView): void {
  const { keys, values, kvHeads, headDim, lengths, starts, positions, blocks, dtype } = view;
  integer(op, 'kvHeads', kvHeads, 1);
  integer(op, 'headDim', headDim, 1);
  integer(op, 'maxLength', view.maxLength, 0);
  demand(dtype !== 'q8_0' || headDim % 32 === 0, op, `a q8_0 cache needs heads of whole blocks of 32 channels, not ${headDim}`);
  dtypeIs(op, 'keys', keys, dtype);
  const rows = keys.shape[0] ?? 0;
  shapeIs(op, 'keys', keys, [rows, headDim]);
  is(op, 'values', values, dtype, [rows, headDim]);
  is(op, 'lengths', lengths, 'i32', [kvHeads]);
  is(op, 'starts', starts, 'i32', [kvHeads]);
  if (positions) is(op, 'positions', positions, 'i32', [rows]);
  if (blocks) {
    integer(op, 'block size', blocks.size, 1);
    dtypeIs(op, 'block table', blocks.table, 'i32');
    demand(
      blocks.table.shape.length === 2 && blocks.table.shape[0] === kvHeads,
      op,
      `the block table must have ${kvHeads} rows, not ${formatShape(blocks.table.shape)}`,
    );
  }
}

function checkSegments(
  op: string,
  segments: readonly AttentionSegment[],
  rows: number,
): readonly [kvHeads: number, headDim: number] {
  const [first] = segments;
  demand(first !== undefined, op, 'needs at least one segment');
  const { kvHeads, headDim } = first.view;
  let sum = 0;
  for (const { view, rows: own } of segments) {
    checkView(op, view);
    integer(op, 'rows', own, 0);
    demand(view.kvHeads === kvHeads && view.headDim === headDim, op, 'all segments must have the same kvHeads and headDim');
    sum += own;
  }
  if (sum !== rows) throw new KvsiftError('shape_mismatch', `${op}: the segments have ${sum} rows, the tensor ${rows}`, { op });
  return [kvHeads, headDim];
}

/**
 * Rules of `kvAppend`: k and v f32 [tokens, kvHeads · headDim] and positions i32 [tokens], the rows of the segments one after the other.
 * @throws KvsiftError `shape_mismatch`, `dtype_mismatch`, `invalid_argument`
 */
export function checkKvAppend(segments: readonly AttentionSegment[], k: Tensor, v: Tensor, positions: Tensor): void {
  const [rows, columns] = matrix('kvAppend', 'k', k);
  is('kvAppend', 'v', v, 'f32', k.shape);
  is('kvAppend', 'positions', positions, 'i32', [rows]);
  const [kvHeads, headDim] = checkSegments('kvAppend', segments, rows);
  if (columns !== kvHeads * headDim) {
    throw new KvsiftError('shape_mismatch', `kvAppend: k has ${columns} columns, the cache ${kvHeads} heads of ${headDim}`, {
      op: 'kvAppend',
    });
  }
}

/** Rules of a selection in an op: `indices` i32 [total], `offsets` i32 [kvHeads + 1]. Their numbers are checked where the op runs. @throws KvsiftError */
export function checkSelection(op: string, selection: Selection, kvHeads: number): void {
  is(op, 'indices', selection.indices, 'i32', [selection.total]);
  is(op, 'offsets', selection.offsets, 'i32', [kvHeads + 1]);
}

/** Rules of `kvGather`: views of equal kvHeads, headDim and dtype; a target that keeps positions needs a source that does. @throws KvsiftError `invalid_argument` */
export function checkKvGather(from: KvView, selection: Selection | 'all', to: KvView): void {
  checkView('kvGather', from);
  checkView('kvGather', to);
  demand(
    from.kvHeads === to.kvHeads && from.headDim === to.headDim && from.dtype === to.dtype,
    'kvGather',
    'both views must have the same kvHeads, headDim and dtype',
  );
  demand(
    to.positions === undefined || from.positions !== undefined,
    'kvGather',
    'the target keeps positions, the source does not',
  );
  if (selection !== 'all') checkSelection('kvGather', selection, from.kvHeads);
}

/** Rules of `kvCompact`: a living view, and a selection of its heads. @throws KvsiftError */
export function checkKvCompact(view: KvView, selection: Selection): void {
  checkView('kvCompact', view);
  checkSelection('kvCompact', selection, view.kvHeads);
}

function checkUniform(op: string, view: KvView): void {
  checkView(op, view);
  demand(view.uniform, op, 'needs heads of equal length');
}

/** Shape [kvHeads, end − start, headDim] of `kvRead`, from heads of equal length. @throws KvsiftError `invalid_argument` where they differ, or the range is none */
export function checkKvRead(view: KvView, start: number, end: number): Shape {
  checkUniform('kvRead', view);
  integer('kvRead', 'start', start, 0, view.maxLength);
  integer('kvRead', 'end', end, start, view.maxLength);
  return [view.kvHeads, end - start, view.headDim];
}

/** Rules of `kvReplace`: x f32 [kvHeads, length, headDim], heads of equal length. @throws KvsiftError `shape_mismatch`, `invalid_argument` */
export function checkKvReplace(view: KvView, x: Tensor): void {
  checkUniform('kvReplace', view);
  is('kvReplace', 'x', x, 'f32', [view.kvHeads, view.maxLength, view.headDim]);
}

function checkShape(op: string, q: Tensor, kvHeads: number, headDim: number, options: AttentionShape): number {
  const [rows, columns] = matrix(op, 'q', q);
  integer(op, 'queryHeads', options.queryHeads, 1);
  demand(options.queryHeads % kvHeads === 0, op, `${options.queryHeads} query heads cannot be shared by ${kvHeads} KV heads`);
  if (columns !== options.queryHeads * headDim) {
    throw new KvsiftError('shape_mismatch', `${op}: q has ${columns} columns, not ${options.queryHeads} heads of ${headDim}`, {
      op,
    });
  }
  finite(op, 'scale', options.scale);
  demand(
    options.softcap === undefined || (options.softcap > 0 && Number.isFinite(options.softcap)),
    op,
    `softcap must be positive, not ${options.softcap}`,
  );
  if (options.window !== undefined) integer(op, 'window', options.window, 1);
  return rows;
}

function checkWindow(op: string, views: readonly KvView[], rows: number, options: AttentionShape & { positions?: Tensor }): void {
  if (options.positions) is(op, 'positions', options.positions, 'i32', [rows]);
  if (options.window === undefined) return;
  demand(options.positions !== undefined, op, 'a sliding window needs the positions of the queries');
  demand(
    views.every((view) => view.positions !== undefined),
    op,
    'a sliding window needs a cache that keeps positions',
  );
}

/**
 * Shape of `attention`, that of q, f32 [rows, queryHeads · headDim]: the segments have as many rows together, their views equal kvHeads and headDim; a sliding window
 * needs positions on both sides, column sums a single segment of equal heads. @throws KvsiftError `shape_mismatch`, `dtype_mismatch`, `invalid_argument`
 */
export function checkAttention(q: Tensor, segments: readonly AttentionSegment[], options: AttentionOptions): Shape {
  alive('attention', 'q', q);
  const [kvHeads, headDim] = checkSegments('attention', segments, q.shape[0] ?? 0);
  const rows = checkShape('attention', q, kvHeads, headDim, options);
  checkWindow(
    'attention',
    segments.map(({ view }) => view),
    rows,
    options,
  );
  if (options.columnSums !== undefined) checkColumnSums(options.columnSums, segments, options.queryHeads);
  return q.shape;
}

function checkColumnSums(sums: Tensor, segments: readonly AttentionSegment[], queryHeads: number): void {
  const [segment] = segments;
  demand(segments.length === 1 && segment !== undefined, 'attention', `columnSums are of one segment, not of ${segments.length}`);
  checkUniform('attention', segment.view);
  dtypeIs('attention', 'columnSums', sums, 'f32');
  const [heads, n = 0] = sums.shape;
  if (sums.shape.length === 2 && heads === queryHeads && n >= segment.view.maxLength) return;
  throw new KvsiftError(
    'shape_mismatch',
    `attention: columnSums must be [${queryHeads}, at least ${segment.view.maxLength}], not ${formatShape(sums.shape)}`,
    { op: 'attention', name: 'columnSums' },
  );
}

/** Shape of `attentionColumns`; `attentionRows` puts the rows in between. */
export function checkColumns(op: string, q: Tensor, view: KvView, options: ColumnOptions): Shape {
  checkUniform(op, view);
  const rows = checkShape(op, q, view.kvHeads, view.headDim, options);
  checkWindow(op, [view], rows, options);
  integer(op, 'behind', options.behind ?? 0, 0, view.maxLength);
  demand(
    options.mask === 'none' || rows + (options.behind ?? 0) <= view.maxLength,
    op,
    `${rows} causal rows cannot end at entry ${view.maxLength - (options.behind ?? 0)}`,
  );
  if (options.logSumExp) {
    demand(options.mask === 'causal', op, 'a known log-sum-exp is of the causal rows');
    is(op, 'logSumExp', options.logSumExp, 'f32', [rows, options.queryHeads]);
  }
  return [options.queryHeads, view.maxLength];
}
