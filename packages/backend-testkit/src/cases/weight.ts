import {
  type BlockType,
  bfloatToFloat,
  blockLayout,
  type DType,
  dequantizeBlocks,
  dtypes,
  type HostArray,
  halfToFloat,
  isBlockType,
  type Shape,
} from '@kvsift/tensor';
import { agree } from '../agree.js';
import type { Bench, Case } from '../case.js';
import { floatTensor, hostData, integerTensor, type Kind, numbers } from '../inputs.js';
import { withFile } from '../stored-file.js';

/** Types that a weight may have. */
export const weightTypes = dtypes.filter((dtype) => dtype !== 'i32' && dtype !== 'u8');

/** Columns that whole blocks fill, about as many as asked for. */
const columnsFor = (dtype: DType, wanted: number) =>
  Math.max(1, Math.round(wanted / blockLayout(dtype).values)) * blockLayout(dtype).values;

function valuesOf(dtype: DType, data: HostArray): Float32Array {
  if (isBlockType(dtype)) return dequantizeBlocks(dtype as BlockType, data as Uint8Array);
  return dtype === 'f32' ? (data as Float32Array) : Float32Array.from(data, dtype === 'f16' ? halfToFloat : bfloatToFloat);
}

/** Σ |x · w| of each output; where activations are quantised, with the largest |x| of each block in place of each. */
function linearBounds(
  bench: Bench,
  x: Float32Array,
  weight: Float32Array,
  dtype: DType,
  inputs: number,
  extra: number,
): Float64Array {
  const coarse = bench.actual.info.compute === 'int8' && isBlockType(dtype);
  const block = coarse ? blockLayout(dtype).values : 1;
  const [rows, outputs] = [x.length / inputs, weight.length / inputs];
  const sizes = x.map((_, at) => {
    const first = at - ((at % inputs) % block);
    let most = 0;
    for (let i = first; i < first + block; i++) most = Math.max(most, Math.abs(x[i] ?? 0));
    return most;
  });
  const bounds = new Float64Array(rows * outputs);
  for (let row = 0; row < rows; row++) {
    for (let output = 0; output < outputs; output++) {
      let sum = extra;
      for (let k = 0; k < inputs; k++) sum += (sizes[row * inputs + k] ?? 0) * Math.abs(weight[output * inputs + k] ?? 0);
      bounds[row * outputs + output] = bench.tolerance.product * sum;
    }
  }
  return bounds;
}

interface LinearPlan {
  readonly dtype: DType;
  readonly rows: number;
  readonly inputs: number;
  readonly outputs: number;
  readonly kind?: Kind;
  readonly added?: boolean;
}

async function linear(
  bench: Bench,
  { dtype, rows, inputs: wanted, outputs, kind = 'plain', added = false }: LinearPlan,
): Promise<void> {
  const inputs = columnsFor(dtype, wanted);
  const x = numbers(3, rows * inputs, kind);
  const weight = hostData(4, dtype, [outputs, inputs]);
  const bounds = linearBounds(bench, x, valuesOf(dtype, weight), dtype, inputs, added ? 3 : 0);
  await agree(
    bench,
    (backend) => ({
      out: backend.linear(
        backend.upload(x, 'f32', [rows, inputs]),
        backend.upload(weight, dtype, [outputs, inputs]),
        added ? { bias: floatTensor(backend, 5, [outputs]), residual: floatTensor(backend, 6, [rows, outputs]) } : {},
      ),
    }),
    { bounds },
  );
}

const linearShapes: readonly (readonly [rows: number, inputs: number, outputs: number])[] = [
  [1, 1, 1],
  [1, 256, 37],
  [3, 64, 5],
  [7, 131, 17],
  [33, 576, 65],
  [0, 32, 4],
];

function linearCases(): Case[] {
  return weightTypes.flatMap((dtype) => [
    ...linearShapes.map(
      ([rows, inputs, outputs]): Case => ({
        op: 'linear',
        title: `${dtype}: ${rows} rows, ${columnsFor(dtype, inputs)} columns, ${outputs} outputs`,
        run: (bench) => linear(bench, { dtype, rows, inputs, outputs, added: rows === 7 }),
      }),
    ),
    {
      op: 'linear',
      title: `${dtype}: outliers`,
      run: (bench) => linear(bench, { dtype, rows: 5, inputs: 512, outputs: 19, kind: 'outliers' }),
    },
  ]);
}

function lookupCases(): Case[] {
  return weightTypes.flatMap((dtype): Case[] => {
    const columns = columnsFor(dtype, 96);
    // One rounding or several may lie between the bytes and the value; types that only scale integers are exact.
    const closeness = isBlockType(dtype) ? { ofLargest: 1e-6 } : ('exact' as const);
    return [
      {
        op: 'dequantize',
        title: dtype,
        run: (bench) =>
          agree(
            bench,
            (backend) => ({
              values: backend.dequantize(backend.upload(hostData(8, dtype, [23, columns]), dtype, [23, columns])),
            }),
            closeness,
          ),
      },
      {
        op: 'embedding',
        title: dtype,
        run: (bench) =>
          agree(
            bench,
            (backend) => {
              const table = backend.upload(hostData(9, dtype, [23, columns]), dtype, [23, columns]);
              return {
                rows: backend.embedding(table, integerTensor(backend, [22, 0, 7, 7, 13])),
                scaled: backend.embedding(table, integerTensor(backend, [3]), 11.5),
                none: backend.embedding(table, integerTensor(backend, [])),
              };
            },
            isBlockType(dtype) ? { ofLargest: 1e-6 } : { relative: 2e-7 },
          ),
      },
    ];
  });
}

/** Feed-forward blocks of stacked sources, and of plain matrices: what the four ops give one after the other. */
function feedForwardCases(): Case[] {
  const plans: readonly (readonly [gateUp: readonly DType[], down: DType, rows: number, hidden: number, inner: number])[] = [
    [['q4_1', 'q4_1'], 'q4_1', 33, 64, 96],
    [['q8_0', 'bf16'], 'q8_0', 12, 96, 32],
    [['f16', 'f16'], 'f16', 1, 77, 16],
    [['f16', 'f16'], 'f32', 40, 33, 48],
    [['f32', 'f32'], 'f32', 40, 9, 5],
    [['q8_0', 'q8_0'], 'q8_0', 0, 32, 32],
  ];
  return plans.map(([parts, last, rows, hidden, inner]) => ({
    op: 'feedForward',
    title: `${parts.join(' and ')}, then ${last}, ${rows} rows of ${hidden}, ${inner} between`,
    run: (bench) =>
      withFile([...parts.map((dtype) => [dtype, [inner, hidden]] as const), [last, [hidden, inner]]], (stored) =>
        agree(
          bench,
          async (backend) => {
            using gateUp = await backend.load(stored.slice(0, parts.length), 'linear');
            using down = await backend.load(stored.slice(parts.length), 'linear');
            const x = floatTensor(backend, 3, [rows, hidden]);
            const norm = backend.zip(floatTensor(backend, 4, [hidden]), 0.1, 'mul');
            const weights = { norm, gateUp, down };
            const biases = { gateUpBias: floatTensor(backend, 5, [2 * inner]), downBias: floatTensor(backend, 6, [hidden]) };
            const plain = {
              norm,
              gateUp: floatTensor(backend, 7, [2 * inner, hidden]),
              down: floatTensor(backend, 8, [hidden, inner]),
            };
            const options = { epsilon: 1e-5, activation: 'silu' } as const;
            return {
              silu: backend.feedForward(x, weights, options),
              residual: backend.feedForward(x, weights, { ...options, residual: x }),
              tanh: backend.feedForward(x, { ...weights, ...biases }, { ...options, weightOffset: 1, activation: 'gelu_tanh' }),
              erf: backend.feedForward(x, weights, { ...options, activation: 'gelu', apart: true }),
              plain: backend.feedForward(x, { ...plain, ...biases }, { ...options, residual: x }),
            };
          },
          { ofLargest: Math.max(1e-5, 2 * bench.tolerance.product) },
        ),
      ),
  }));
}

/** Sizes of products move by what the products may, and less: errors of many outputs even out. */
function normCases(): Case[] {
  const plans: readonly (readonly [dtype: DType, outputs: number, queryHeads: number, values: Shape])[] = [
    ['q4_1', 65, 4, [2, 70, 64]],
    ['q8_0', 16, 1, [1, 1, 32]],
    ['bf16', 40, 3, [1, 130, 80]],
    ['f16', 33, 6, [2, 9, 5]],
    ['f32', 7, 2, [2, 3, 4]],
    ['f32', 7, 2, [2, 0, 4]],
  ];
  return plans.map(([dtype, outputs, queryHeads, shape]) => ({
    op: 'projectedNorms',
    title: `${dtype}: ${queryHeads} query heads, values ${shape.join(' × ')}, loaded and uploaded weights`,
    run: (bench) => {
      const columns = queryHeads * (shape[2] ?? 0);
      const closeness = { relative: Math.max(2e-5, bench.tolerance.product) };
      return withFile([[dtype, [outputs, columns]]], async ([stored]) => {
        if (stored === undefined) return;
        await agree(
          bench,
          async (backend) => {
            using loaded = await backend.load(stored, 'linear');
            const plain = backend.upload(hostData(7, dtype, [outputs, columns]), dtype, [outputs, columns]);
            const values = floatTensor(backend, 3, shape);
            return {
              l1: backend.projectedNorms(values, loaded, 'l1'),
              l2: backend.projectedNorms(values, loaded, 'l2'),
              plain: backend.projectedNorms(values, plain, 'l1'),
            };
          },
          closeness,
        );
      });
    },
  }));
}

/** dequantize, embedding, linear and projectedNorms in every dtype that a weight may have. */
export function weightCases(): Case[] {
  return [...lookupCases(), ...linearCases(), ...feedForwardCases(), ...normCases()];
}
