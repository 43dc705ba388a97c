import { KvsiftError } from '../errors.js';
import type { TopOptions } from '../op-options.js';
import type { RandomKey } from '../random.js';
import { formatShape, type Shape } from '../shape.js';
import type { Tensor } from '../tensor.js';
import { demand, dtypeIs, integer, is, matrix } from './check.js';

/** Shape of `pool`: that of x; windows of an odd `kernelSize` along the last axis. @throws KvsiftError `invalid_argument`, `dtype_mismatch` */
export function checkPool(x: Tensor, kernelSize: number): Shape {
  dtypeIs('pool', 'x', x, 'f32');
  integer('pool', 'kernelSize', kernelSize, 1);
  demand(kernelSize % 2 === 1, 'pool', `kernelSize must be odd, or the result would not align; it is ${kernelSize}`);
  demand(x.shape.length >= 1, 'pool', 'x needs an axis');
  return x.shape;
}

/** Entries kept over all heads, and the most of one head. */
export function checkTop(scores: Tensor, options: TopOptions): { total: number; perHead?: number; max: number } {
  const [kvHeads, length] = matrix('top', 'scores', scores);
  const { keep, protectFirst = 0, protectLast = 0, protect } = options;
  integer('top', 'protectFirst', protectFirst, 0, length);
  integer('top', 'protectLast', protectLast, 0, length);
  if (protect) is('top', 'protect', protect, 'f32', [kvHeads, length]);
  if (typeof keep === 'number') {
    integer('top', 'keep', keep, 0, length);
    demand(
      keep >= Math.min(length, protectFirst + protectLast),
      'top',
      `keeping ${keep} entries cannot hold ${protectFirst} + ${protectLast} protected ones`,
    );
    return { total: keep * kvHeads, perHead: keep, max: keep };
  }
  is('top', 'counts', keep.counts, 'i32', [kvHeads]);
  integer('top', 'total', keep.total, 0, kvHeads * length);
  integer('top', 'max', keep.max, 0, length);
  return { total: keep.total, max: keep.max };
}

/** Shape [kvHeads] of `topShares` of scores, f32 [kvHeads, n]; `total` is at most kvHeads · n. @throws KvsiftError `invalid_argument` */
export function checkTopShares(scores: Tensor, total: number): Shape {
  const [kvHeads, length] = matrix('topShares', 'scores', scores);
  integer('topShares', 'total', total, 0, kvHeads * length);
  return [kvHeads];
}

/** Shape of `roundShares`: that of the shares, f32 [n]; `total` is at most n · `cap`. @throws KvsiftError `invalid_argument`, `dtype_mismatch` */
export function checkRoundShares(shares: Tensor, total: number, cap: number): Shape {
  dtypeIs('roundShares', 'shares', shares, 'f32');
  demand(shares.shape.length === 1, 'roundShares', `shares must be a vector, not ${formatShape(shares.shape)}`);
  integer('roundShares', 'total', total, 0);
  integer('roundShares', 'cap', cap, 0);
  const most = (shares.shape[0] ?? 0) * cap;
  demand(total <= most, 'roundShares', `${shares.shape[0]} shares of at most ${cap} cannot sum to ${total}`);
  return shares.shape;
}

/**
 * Entries of the longest head of a selection on the host, and `perHead` where all heads have as many: offsets run from 0 to the number of indices, the indices of a head
 * ascend. @throws KvsiftError `invalid_argument`
 */
export function checkHostSelection(indices: Int32Array, offsets: Int32Array): { perHead?: number; max: number } {
  demand(
    offsets.length >= 2 && offsets[0] === 0 && offsets.at(-1) === indices.length,
    'selection',
    'offsets must run from 0 to the number of indices',
  );
  let max = 0;
  let uniform = true;
  for (let head = 0; head + 1 < offsets.length; head++) {
    const [start = 0, end = 0] = [offsets[head], offsets[head + 1]];
    demand(end >= start, 'selection', 'offsets must ascend');
    for (let at = start; at < end; at++) {
      const [before, index] = [at === start ? -1 : (indices[at - 1] ?? 0), indices[at] ?? 0];
      if (index <= before)
        throw new KvsiftError(
          'invalid_argument',
          `selection: indices of head ${head} must ascend from 0; ${index} follows ${before}`,
          { op: 'selection' },
        );
    }
    uniform &&= end - start === (offsets[1] ?? 0);
    max = Math.max(max, end - start);
  }
  return uniform ? { perHead: max, max } : { max };
}

/** Shape [rows, columns] of `uniform`; every part of the key fits into 32 bits. @throws KvsiftError `invalid_argument` */
export function checkUniformNumbers(key: RandomKey, rows: number, columns: number): Shape {
  for (const name of ['seed', 'sequence', 'layer', 'purpose'] as const) integer('uniform', name, key[name], 0, 2 ** 32 - 1);
  integer('uniform', 'rows', rows, 0);
  integer('uniform', 'columns', columns, 0);
  return [rows, columns];
}
