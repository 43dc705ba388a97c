import { type Backend, type ErrorCode, type Formula, type KvView, type SamplingRule, scoped } from '@kvsift/tensor';
import { refuses } from '../agree.js';
import type { Case, Op } from '../case.js';
import { floatTensor, integerTensor } from '../inputs.js';
import { makeView } from '../views.js';

/** Tensors for calls that must be refused. */
interface Stock {
  readonly b: Backend;
  /** f32 [3, 4] */
  readonly x: ReturnType<Backend['empty']>;
  /** i32 [3] */
  readonly i: ReturnType<Backend['empty']>;
  /** f32 [4] */
  readonly v: ReturnType<Backend['empty']>;
  /** Disposed f32 [3, 4]. */
  readonly gone: ReturnType<Backend['empty']>;
  /** Two heads of 5 entries, headDim 2. */
  readonly view: KvView;
  readonly ragged: KvView;
}

type Wrong = readonly [op: Op, what: string, code: ErrorCode, call: (stock: Stock) => unknown];

const key = { seed: 0, sequence: 0, layer: 0, purpose: 0 };
const shape = { queryHeads: 2, scale: 1 };
const fed = { epsilon: 1e-5, activation: 'silu' } as const;
const rule: SamplingRule = { temperature: 1, topK: 0, topP: 1, minP: 0, uniform: 0.5 };

const wrongs: readonly Wrong[] = [
  ['upload', 'too few data', 'shape_mismatch', ({ b }) => b.upload(new Float32Array(5), 'f32', [2, 3])],
  ['upload', 'the wrong kind of array', 'dtype_mismatch', ({ b }) => b.upload(new Int32Array(6), 'f32', [2, 3])],
  ['upload', 'rows of broken blocks', 'shape_mismatch', ({ b }) => b.upload(new Uint8Array(18), 'q4_0', [1, 31])],
  ['empty', 'a negative size', 'invalid_argument', ({ b }) => b.empty('f32', [-1])],
  ['empty', 'half a size', 'invalid_argument', ({ b }) => b.empty('f32', [1.5])],
  ['write', 'too many data', 'shape_mismatch', ({ b, x }) => b.write(x, new Float32Array(13))],
  [
    'attention',
    'columnSums without room for the entries',
    'shape_mismatch',
    ({ b, x, view }) => b.attention(x, [{ view, rows: 3 }], { ...shape, columnSums: b.empty('f32', [2, 1]) }),
  ],
  [
    'attention',
    'columnSums of ragged heads',
    'invalid_argument',
    ({ b, x, ragged }) => b.attention(x, [{ view: ragged, rows: 3 }], { ...shape, columnSums: b.empty('f32', [2, 9]) }),
  ],
  ['write', 'a tensor of another dtype', 'dtype_mismatch', ({ b, x }) => b.write(x, b.empty('i32', x.shape))],
  ['write', 'a tensor of another shape', 'shape_mismatch', ({ b, x }) => b.write(x, b.empty('f32', [5]))],
  ['write', 'a disposed tensor', 'disposed', ({ b, gone }) => b.write(gone, new Float32Array(12))],
  ['dequantize', 'integers', 'dtype_mismatch', ({ b, i }) => b.dequantize(i)],
  ['reshape', 'another number of elements', 'shape_mismatch', ({ b, x }) => b.reshape(x, [5])],
  ['reshape', 'a disposed tensor', 'disposed', ({ b, gone }) => b.reshape(gone, [12])],
  ['embedding', 'ids in f32', 'dtype_mismatch', ({ b, x, v }) => b.embedding(x, v)],
  ['embedding', 'a table of integers', 'dtype_mismatch', ({ b, i }) => b.embedding(i, i)],
  ['rmsNorm', 'a weight of another length', 'shape_mismatch', ({ b, x }) => b.rmsNorm(x, b.empty('f32', [3]), { epsilon: 1e-5 })],
  ['rmsNorm', 'a negative epsilon', 'invalid_argument', ({ b, x, v }) => b.rmsNorm(x, v, { epsilon: -1 })],
  ['projectedNorms', 'values without heads', 'invalid_argument', ({ b, x }) => b.projectedNorms(x, x, 'l1')],
  [
    'projectedNorms',
    'heads that do not share those of the values',
    'shape_mismatch',
    ({ b, x }) => b.projectedNorms(b.empty('f32', [2, 5, 3]), x, 'l2'),
  ],
  ['projectedNorms', 'values in f16', 'dtype_mismatch', ({ b, x }) => b.projectedNorms(b.empty('f16', [1, 5, 4]), x, 'l2')],
  ['projectedNorms', 'a disposed weight', 'disposed', ({ b, gone }) => b.projectedNorms(b.empty('f32', [1, 5, 4]), gone, 'l1')],
  ['covariance', 'heads that do not share the columns', 'invalid_argument', ({ b, x }) => b.covariance(x, { heads: 3 })],
  ['covariance', 'no rows left', 'invalid_argument', ({ b, x }) => b.covariance(x, { heads: 2, first: 3 })],
  ['covariance', 'a disposed x', 'disposed', ({ b, gone }) => b.covariance(gone, { heads: 1 })],
  ['evaluate', 'a formula without an op', 'invalid_argument', ({ b, x }) => b.evaluate(x)],
  ['evaluate', 'an unknown op', 'invalid_argument', ({ b, x }) => b.evaluate(['tan' as 'exp', x])],
  ['evaluate', 'an operand too few', 'invalid_argument', ({ b, x }) => b.evaluate(['add', x] as never)],
  ['evaluate', 'an operand that is undefined', 'invalid_argument', ({ b, x }) => b.evaluate(['add', x, undefined as never])],
  ['evaluate', 'a number in the first place', 'dtype_mismatch', ({ b, x }) => b.evaluate(['add', 1 as never, x])],
  ['evaluate', 'integers', 'dtype_mismatch', ({ b, i }) => b.evaluate(['exp', i])],
  ['evaluate', 'shapes that do not broadcast', 'shape_mismatch', ({ b, x }) => b.evaluate(['add', x, b.empty('f32', [3])])],
  ['evaluate', 'an axis that does not exist', 'invalid_argument', ({ b, x }) => b.evaluate(['exp', x], { axis: 2, op: 'sum' })],
  [
    'evaluate',
    'an axis before the last two',
    'invalid_argument',
    ({ b }) => b.evaluate(['exp', b.empty('f32', [2, 2, 2])], { axis: 0, op: 'sum' }),
  ],
  [
    'evaluate',
    'too many ops',
    'invalid_argument',
    ({ b, x }) => b.evaluate(Array.from({ length: 33 }).reduce<Formula>((inner) => ['exp', inner], x)),
  ],
  ['evaluate', 'a disposed tensor', 'disposed', ({ b, x, gone }) => b.evaluate(['add', x, gone])],
  ['writeRows', 'more rows than there are', 'invalid_argument', ({ b, x }) => b.writeRows(x, 2, b.empty('f32', [2, 4]))],
  ['writeRows', 'rows of another width', 'shape_mismatch', ({ b, x }) => b.writeRows(x, 0, b.empty('f32', [1, 3]))],
  ['writeRows', 'rows of another dtype', 'dtype_mismatch', ({ b, x }) => b.writeRows(x, 0, b.empty('i32', [1, 4]))],
  ['writeRows', 'its own rows', 'invalid_argument', ({ b, x }) => b.writeRows(x, 0, x)],
  ['writeRows', 'a disposed tensor', 'disposed', ({ b, x, gone }) => b.writeRows(gone, 0, x)],
  ['linear', 'other columns', 'shape_mismatch', ({ b, x }) => b.linear(x, b.empty('f32', [2, 5]))],
  ['linear', 'a weight of integers', 'dtype_mismatch', ({ b, x }) => b.linear(x, b.empty('i32', [2, 4]))],
  ['linear', 'x in f16', 'dtype_mismatch', ({ b, x }) => b.linear(b.empty('f16', [3, 4]), x)],
  ['linear', 'a bias of another length', 'shape_mismatch', ({ b, x, v }) => b.linear(x, x, { bias: v })],
  ['linear', 'a residual of another shape', 'shape_mismatch', ({ b, x }) => b.linear(x, x, { residual: x })],
  ['linear', 'a disposed x', 'disposed', ({ b, x, gone }) => b.linear(gone, x)],
  ['linear', 'a disposed weight', 'disposed', ({ b, x, gone }) => b.linear(x, gone)],
  [
    'feedForward',
    'a gate of odd outputs',
    'shape_mismatch',
    ({ b, x, v }) => b.feedForward(x, { norm: v, gateUp: b.empty('f32', [5, 4]), down: b.empty('f32', [4, 2]) }, fed),
  ],
  [
    'feedForward',
    'halves that down does not take',
    'shape_mismatch',
    ({ b, x, v }) => b.feedForward(x, { norm: v, gateUp: x, down: x }, fed),
  ],
  [
    'feedForward',
    'a norm of another length',
    'shape_mismatch',
    ({ b, x }) => b.feedForward(x, { norm: b.empty('f32', [3]), gateUp: b.empty('f32', [8, 4]), down: x }, fed),
  ],
  [
    'feedForward',
    'a bias of another length',
    'shape_mismatch',
    ({ b, x, v }) => b.feedForward(x, { norm: v, gateUp: b.empty('f32', [8, 4]), gateUpBias: v, down: x }, fed),
  ],
  [
    'feedForward',
    'a residual of another shape',
    'shape_mismatch',
    ({ b, x, v }) => b.feedForward(x, { norm: v, gateUp: b.empty('f32', [8, 4]), down: x }, { ...fed, residual: x }),
  ],
  [
    'feedForward',
    'a negative epsilon',
    'invalid_argument',
    ({ b, x, v }) => b.feedForward(x, { norm: v, gateUp: b.empty('f32', [8, 4]), down: x }, { ...fed, epsilon: -1 }),
  ],
  [
    'feedForward',
    'a disposed weight',
    'disposed',
    ({ b, x, v, gone }) => b.feedForward(x, { norm: v, gateUp: gone, down: x }, fed),
  ],
  ['gated', 'odd columns', 'invalid_argument', ({ b }) => b.gated(b.empty('f32', [2, 3]), 'silu')],
  ['softcap', 'cap 0', 'invalid_argument', ({ b, x }) => b.softcap(x, 0)],
  ['splitColumns', 'widths that do not sum up', 'shape_mismatch', ({ b, x }) => b.splitColumns(x, [1, 2])],
  [
    'rope',
    'too few positions',
    'shape_mismatch',
    ({ b, x, v }) => b.rope(x, b.empty('i32', [2]), { heads: 1, inverseFrequencies: v }),
  ],
  ['rope', 'more pairs than a head has', 'shape_mismatch', ({ b, x, i, v }) => b.rope(x, i, { heads: 1, inverseFrequencies: v })],
  ['rope', 'positions in f32', 'dtype_mismatch', ({ b, x, v }) => b.rope(x, v, { heads: 1, inverseFrequencies: v })],
  ['sample', 'too few rules', 'invalid_argument', ({ b, x }) => b.sample(x, [rule])],
  ['sample', 'a negative temperature', 'invalid_argument', ({ b, x }) => b.sample(x, [rule, rule, { ...rule, temperature: -1 }])],
  [
    'kvAppend',
    'other columns',
    'shape_mismatch',
    ({ b, x, i, view }) => b.kvAppend([{ view, rows: 3 }], b.empty('f32', [3, 6]), b.empty('f32', [3, 6]), i) ?? x,
  ],
  ['kvAppend', 'rows that do not sum up', 'shape_mismatch', ({ b, x, i, view }) => b.kvAppend([{ view, rows: 2 }], x, x, i)],
  ['kvAppend', 'a disposed k', 'disposed', ({ b, x, i, view, gone }) => b.kvAppend([{ view, rows: 3 }], gone, x, i)],
  [
    'kvGather',
    'offsets of another number of heads',
    'shape_mismatch',
    ({ b, view, ragged }) => b.kvGather(view, b.selection(Int32Array.of(1), Int32Array.of(0, 1)), ragged),
  ],
  [
    'kvCompact',
    'offsets of another number of heads',
    'shape_mismatch',
    ({ b, ragged }) => b.kvCompact(ragged, b.selection(Int32Array.of(1), Int32Array.of(0, 1))),
  ],
  ['kvRead', 'ragged heads', 'invalid_argument', ({ b, ragged }) => b.kvRead(ragged, 'keys')],
  ['kvRead', 'an end beyond the entries', 'invalid_argument', ({ b, view }) => b.kvRead(view, 'keys', 0, view.maxLength + 1)],
  ['kvRead', 'an end before the start', 'invalid_argument', ({ b, view }) => b.kvRead(view, 'keys', 2, 1)],
  ['kvReplace', 'another shape', 'shape_mismatch', ({ b, x, view }) => b.kvReplace(view, 'keys', x)],
  [
    'attention',
    'other columns',
    'shape_mismatch',
    ({ b, view }) => b.attention(b.empty('f32', [3, 5]), [{ view, rows: 3 }], shape),
  ],
  [
    'attention',
    'query heads that KV heads cannot share',
    'invalid_argument',
    ({ b, view }) => b.attention(b.empty('f32', [3, 6]), [{ view, rows: 3 }], { queryHeads: 3, scale: 1 }),
  ],
  ['attention', 'rows that do not sum up', 'shape_mismatch', ({ b, x, view }) => b.attention(x, [{ view, rows: 2 }], shape)],
  [
    'attention',
    'a window without positions',
    'invalid_argument',
    ({ b, x, view }) => b.attention(x, [{ view, rows: 3 }], { ...shape, window: 3 }),
  ],
  ['attention', 'a disposed q', 'disposed', ({ b, gone, view }) => b.attention(gone, [{ view, rows: 3 }], shape)],
  [
    'attention',
    'a disposed cache',
    'disposed',
    ({ b, x, view, gone }) => b.attention(x, [{ view: { ...view, keys: gone }, rows: 3 }], shape),
  ],
  [
    'attentionColumns',
    'ragged heads',
    'invalid_argument',
    ({ b, x, ragged }) => b.attentionColumns(x, ragged, 'sum', { ...shape, mask: 'causal' }),
  ],
  [
    'attentionColumns',
    'too much behind',
    'invalid_argument',
    ({ b, x, view }) => b.attentionColumns(x, view, 'sum', { ...shape, mask: 'causal', behind: 4 }),
  ],
  [
    'attentionRows',
    'a logSumExp of another shape',
    'shape_mismatch',
    ({ b, x, view }) => b.attentionRows(x, view, { ...shape, mask: 'causal', logSumExp: x }),
  ],
  ['pool', 'an even kernel', 'invalid_argument', ({ b, x }) => b.pool(x, 2, 'max')],
  ['top', 'more than there are', 'invalid_argument', ({ b, x }) => b.top(x, { keep: 5 })],
  ['top', 'less than is protected', 'invalid_argument', ({ b, x }) => b.top(x, { keep: 2, protectFirst: 2, protectLast: 1 })],
  ['top', 'a mask of another shape', 'shape_mismatch', ({ b, x, v }) => b.top(x, { keep: 2, protect: v })],
  ['topShares', 'more than there are', 'invalid_argument', ({ b, x }) => b.topShares(x, 13)],
  ['roundShares', 'more than the cap allows', 'invalid_argument', ({ b, v }) => b.roundShares(v, 9, 2)],
  ['selection', 'indices that fall', 'invalid_argument', ({ b }) => b.selection(Int32Array.of(2, 1), Int32Array.of(0, 2))],
  ['selection', 'offsets that end early', 'invalid_argument', ({ b }) => b.selection(Int32Array.of(1, 2), Int32Array.of(0, 1))],
  ['uniform', 'a seed of 33 bits', 'invalid_argument', ({ b }) => b.uniform({ ...key, seed: 2 ** 32 }, 1, 1)],
  ['map', 'integers', 'dtype_mismatch', ({ b, i }) => b.map(i, 'exp')],
  ['map', 'a disposed x', 'disposed', ({ b, gone }) => b.map(gone, 'exp')],
  ['zip', 'shapes that do not broadcast', 'shape_mismatch', ({ b, x }) => b.zip(x, b.empty('f32', [3]), 'add')],
  ['reduce', 'an axis that is not there', 'invalid_argument', ({ b, x }) => b.reduce(x, 2, 'sum')],
  ['softmax', 'integers', 'dtype_mismatch', ({ b, i }) => b.softmax(i)],
  ['cumsum', 'a scalar', 'invalid_argument', ({ b }) => b.cumsum(b.empty('f32', []))],
  ['rank', 'a disposed x', 'disposed', ({ b, gone }) => b.rank(gone)],
  ['matmul', 'inner sizes that differ', 'shape_mismatch', ({ b, x }) => b.matmul(x, x)],
  ['slice', 'an end beyond the axis', 'invalid_argument', ({ b, x }) => b.slice(x, 0, 1, 4)],
  ['concat', 'other columns', 'shape_mismatch', ({ b, x }) => b.concat([x, b.empty('f32', [3, 5])], 0)],
  ['concat', 'another dtype', 'dtype_mismatch', ({ b, x }) => b.concat([x, b.empty('i32', [3, 4])], 0)],
  ['transpose', 'an axis twice', 'invalid_argument', ({ b, x }) => b.transpose(x, [0, 0])],
  ['toFloat', 'a block format', 'dtype_mismatch', ({ b }) => b.toFloat(b.empty('q4_0', [1, 32]))],
  ['toInt', 'integers', 'dtype_mismatch', ({ b, i }) => b.toInt(i)],
];

/** Wrong arguments are refused at the call, with the code that the contract names, and leave nothing behind. */
export function argumentCases(): Case[] {
  return wrongs.map(
    ([op, what, code, call]): Case => ({
      op,
      title: `refuses ${what} (${code})`,
      run: async ({ actual }) => {
        const before = (await actual.finish()).memory.bytes;
        {
          using scope = scoped(actual);
          refuses(op, () => call(stockOf(scope.backend)), code);
        }
        const left = (await actual.finish()).memory.bytes - before;
        if (left !== 0) throw new Error(`${left} bytes are left of a call that was refused`);
      },
    }),
  );
}

function stockOf(b: Backend): Stock {
  const plan = { layout: 'flattened', dtype: 'f32', headDim: 2, room: 3 } as const;
  const gone = floatTensor(b, 1, [3, 4]);
  gone.dispose();
  return {
    b,
    x: floatTensor(b, 1, [3, 4]),
    i: integerTensor(b, [0, 1, 2]),
    v: floatTensor(b, 2, [4]),
    gone,
    view: makeView(b, { ...plan, lengths: [5, 5] }),
    ragged: makeView(b, { ...plan, lengths: [5, 2] }),
  };
}
