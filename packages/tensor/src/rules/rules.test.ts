import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { DType } from '../dtype.js';
import { type ErrorCode, isKvsiftError } from '../errors.js';
import type { KvView } from '../kv.js';
import { broadcastShape, elementCount, type Shape } from '../shape.js';
import type { Tensor } from '../tensor.js';
import * as rules from './index.js';

/** A handle without memory: all that the rules look at. */
function tensor(dtype: DType, shape: Shape, alive = true): Tensor {
  const dispose = () => {};
  return { dtype, shape, alive, read: () => Promise.reject(new Error('no memory')), dispose, [Symbol.dispose]: dispose };
}

const f32 = (...shape: number[]) => tensor('f32', shape);
const i32 = (...shape: number[]) => tensor('i32', shape);
const gone = (...shape: number[]) => tensor('f32', shape, false);

function refusal(act: () => unknown): { code: ErrorCode; message: string; op: unknown } {
  try {
    act();
  } catch (error) {
    if (isKvsiftError(error)) return { code: error.code, message: error.message, op: error.details.op };
    throw error;
  }
  throw new Error('was accepted');
}

const view = (change: Partial<KvView> = {}): KvView => ({
  dtype: 'f16',
  kvHeads: 2,
  headDim: 4,
  keys: tensor('f16', [12, 4]),
  values: tensor('f16', [12, 4]),
  lengths: i32(2),
  starts: i32(2),
  maxLength: 5,
  uniform: true,
  ...change,
});

describe('refusals say what was expected, for which argument, and what came', () => {
  const cases: readonly (readonly [code: ErrorCode, sentence: string, act: () => unknown])[] = [
    [
      'shape_mismatch',
      'linear: x has 64 columns, weight [128, 96] takes 96',
      () => rules.checkLinear(f32(3, 64), f32(128, 96), {}),
    ],
    ['disposed', 'linear: weight was disposed', () => rules.checkLinear(f32(3, 4), gone(2, 4), {})],
    ['dtype_mismatch', 'linear: weight must be f32 or f16', () => rules.checkLinear(f32(3, 4), i32(2, 4), {})],
    ['shape_mismatch', 'linear: bias must be [2], not [3]', () => rules.checkLinear(f32(3, 4), f32(2, 4), { bias: f32(3) })],
    [
      'shape_mismatch',
      'feedForward: gateUp must be [4, 4], not [6, 4]',
      () =>
        rules.checkFeedForward(
          f32(3, 4),
          { norm: f32(4), gateUp: f32(6, 4), down: f32(4, 2) },
          { epsilon: 0, activation: 'silu' },
        ),
    ],
    ['dtype_mismatch', 'attention: keys must be f16, not f32', () => attention(view({ keys: f32(12, 4) }))],
    [
      'shape_mismatch',
      'attention: values must be [12, 4], not [11, 4]',
      () => attention(view({ values: tensor('f16', [11, 4]) })),
    ],
    ['shape_mismatch', 'attention: lengths must be [2], not [3]', () => attention(view({ lengths: i32(3) }))],
    [
      'invalid_argument',
      'attention: block size must be an integer',
      () => attention(view({ blocks: { table: i32(2, 3), size: 0 } })),
    ],
    [
      'invalid_argument',
      'attention: the block table must have 2 rows',
      () => attention(view({ blocks: { table: i32(3, 3), size: 4 } })),
    ],
    ['invalid_argument', 'kvRead: needs heads of equal length', () => rules.checkKvRead(view({ uniform: false }), 0, 0)],
    ['invalid_argument', 'pool: kernelSize must be odd', () => rules.checkPool(f32(2, 9), 4)],
    [
      'invalid_argument',
      'top: keeping 3 entries cannot hold 2 + 2 protected',
      () => rules.checkTop(f32(2, 9), { keep: 3, protectFirst: 2, protectLast: 2 }),
    ],
    ['invalid_argument', 'reduce: axis must be an integer from -2 to 1, not 2', () => rules.checkReduce(f32(2, 9), 2)],
    [
      'invalid_argument',
      'selection: indices of head 1 must ascend',
      () => rules.checkHostSelection(Int32Array.of(0, 4, 4), Int32Array.of(0, 1, 3)),
    ],
    ['shape_mismatch', 'zip: [3, 4] and [3] do not broadcast', () => rules.checkZip(f32(3, 4), f32(3))],
    [
      'dtype_mismatch',
      'upload: f16 comes as Uint16Array, not Float32Array',
      () => rules.checkUpload(new Float32Array(2), 'f16', [2]),
    ],
    ['shape_mismatch', 'upload: [2, 3] f32 takes 6 elements, not 5', () => rules.checkUpload(new Float32Array(5), 'f32', [2, 3])],
  ];
  function attention(of: KvView) {
    return rules.checkAttention(f32(3, 8), [{ view: of, rows: 3 }], { queryHeads: 2, scale: 1 });
  }
  it.each(cases)('%s: %s', (code, sentence, act) => {
    const refused = refusal(act);
    expect(refused.code).toBe(code);
    expect(refused.message).toContain(sentence);
    expect(refused.op).toBe(sentence.split(':')[0]);
  });
});

const size = fc.integer({ min: 0, max: 5 });
const shape = fc.array(size, { minLength: 1, maxLength: 4 });

describe('shapes of results', () => {
  it('zip gives the broadcast shape or refuses', () => {
    fc.assert(
      fc.property(shape, shape, (a, b) => {
        const expected = broadcastShape(a, b);
        if (expected) expect(rules.checkZip(f32(...a), f32(...b))).toEqual(expected);
        else expect(refusal(() => rules.checkZip(f32(...a), f32(...b))).code).toBe('shape_mismatch');
      }),
    );
  });

  it('reduce drops the axis, from either end', () => {
    fc.assert(
      fc.property(shape, fc.nat(3), (sizes, at) => {
        const axis = at % sizes.length;
        const expected = sizes.filter((_, index) => index !== axis);
        expect(rules.checkReduce(f32(...sizes), axis)).toEqual({ shape: expected, axis });
        expect(rules.checkReduce(f32(...sizes), axis - sizes.length)).toEqual({ shape: expected, axis });
      }),
    );
  });

  it('slices of an axis, put together again, have the shape of the whole', () => {
    fc.assert(
      fc.property(shape, fc.nat(3), fc.nat(5), (sizes, at, place) => {
        const axis = at % sizes.length;
        const cut = place % ((sizes[axis] ?? 0) + 1);
        const parts = [
          rules.checkSlice(f32(...sizes), axis, 0, cut).shape,
          rules.checkSlice(f32(...sizes), axis, cut, sizes[axis] ?? 0).shape,
        ];
        const whole = rules.checkConcat(
          parts.map((part) => f32(...part)),
          axis,
        );
        expect(whole).toEqual({ shape: sizes, axis });
      }),
    );
  });

  it('transposing twice by an order and its inverse gives the shape back', () => {
    fc.assert(
      fc.property(shape, fc.infiniteStream(fc.nat()), (sizes, stream) => {
        const keys = sizes.map(() => stream.next().value);
        const order = sizes.map((_, axis) => axis).sort((a, b) => (keys[a] ?? 0) - (keys[b] ?? 0) || a - b);
        const inverse = order.map((_, axis) => order.indexOf(axis));
        const once = rules.checkTranspose(f32(...sizes), order);
        expect(elementCount(once)).toBe(elementCount(sizes));
        expect(rules.checkTranspose(f32(...once), inverse)).toEqual(sizes);
      }),
    );
  });

  it('matmul agrees with its transposed form', () => {
    fc.assert(
      fc.property(size, size, size, fc.array(size, { maxLength: 2 }), (i, k, j, lead) => {
        const expected = [...lead, i, j];
        expect(rules.checkMatmul(f32(...lead, i, k), f32(k, j), false)).toEqual(expected);
        expect(rules.checkMatmul(f32(i, k), f32(...lead, j, k), true)).toEqual(expected);
        if (k !== j) expect(refusal(() => rules.checkMatmul(f32(i, k), f32(j, k), false)).code).toBe('shape_mismatch');
      }),
    );
  });

  it('linear takes rows of any number, and only columns that fit', () => {
    fc.assert(
      fc.property(size, size, size, size, (rows, inputs, outputs, other) => {
        expect(rules.checkLinear(f32(rows, inputs), f32(outputs, inputs), {})).toEqual([rows, outputs]);
        if (other === inputs) return;
        expect(refusal(() => rules.checkLinear(f32(rows, other), f32(outputs, inputs), {})).code).toBe('shape_mismatch');
      }),
    );
  });

  it('top knows its sizes, and keeps at least what is protected', () => {
    fc.assert(
      fc.property(size, size, size, size, (n, keep, first, last) => {
        const act = () => rules.checkTop(f32(3, n), { keep, protectFirst: first, protectLast: last });
        const legal = keep <= n && first <= n && last <= n && keep >= Math.min(n, first + last);
        if (legal) expect(act()).toEqual({ total: 3 * keep, perHead: keep, max: keep });
        else expect(refusal(act).code).toBe('invalid_argument');
      }),
    );
  });

  it('a selection of the host has its sizes', () => {
    fc.assert(
      fc.property(fc.array(fc.uniqueArray(fc.nat(20), { maxLength: 6 }), { minLength: 1, maxLength: 4 }), (heads) => {
        const sorted = heads.map((head) => [...head].sort((a, b) => a - b));
        let end = 0;
        const offsets = Int32Array.from([0, ...sorted.map((head) => (end += head.length))]);
        const counts = sorted.map((head) => head.length);
        const max = Math.max(...counts);
        const uniform = counts.every((count) => count === max);
        expect(rules.checkHostSelection(Int32Array.from(sorted.flat()), offsets)).toEqual(
          uniform ? { perHead: max, max } : { max },
        );
      }),
    );
  });
});
