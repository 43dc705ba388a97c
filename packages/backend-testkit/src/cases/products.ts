import type { Shape } from '@kvsift/tensor';
import { agree } from '../agree.js';
import type { Case } from '../case.js';
import { floatTensor, hostData } from '../inputs.js';

function matmulCases(): Case[] {
  const shapes: readonly (readonly [a: Shape, b: Shape, bTransposed: Shape])[] = [
    [
      [1, 1],
      [1, 1],
      [1, 1],
    ],
    [
      [3, 7],
      [7, 5],
      [5, 7],
    ],
    [
      [33, 131],
      [131, 17],
      [17, 131],
    ],
    [
      [4, 3, 7],
      [7, 2],
      [2, 7],
    ],
    [
      [2, 1, 3, 7],
      [5, 7, 2],
      [5, 2, 7],
    ],
    [
      [3, 2, 64],
      [64, 700],
      [700, 64],
    ],
    [
      [2, 8, 700],
      [2, 700, 65],
      [2, 65, 700],
    ],
    [
      [0, 7],
      [7, 2],
      [2, 7],
    ],
    [
      [3, 0],
      [0, 2],
      [2, 0],
    ],
  ];
  return shapes.map(
    ([a, b, transposed]): Case => ({
      op: 'matmul',
      title: `[${a}] × [${b}]`,
      run: (bench) =>
        agree(
          bench,
          (backend) => ({
            plain: backend.matmul(floatTensor(backend, 91, a), floatTensor(backend, 92, b)),
            transposed: backend.matmul(floatTensor(backend, 91, a), floatTensor(backend, 93, transposed), { transposeB: true }),
            outliers: backend.matmul(floatTensor(backend, 94, a, 'outliers'), floatTensor(backend, 92, b)),
          }),
          { ofLargest: 10 * bench.tolerance.element },
        ),
    }),
  );
}

/** The right operand as entries are stored, few rows and many, whole vectors and not. */
function storedCases(): Case[] {
  const plans: readonly (readonly [rows: number, inner: number, columns: number])[] = [
    [1, 1, 1],
    [3, 39, 300],
    [8, 300, 64],
    [5, 520, 39],
    [2, 64, 700],
    [20, 70, 40],
  ];
  return (['f16', 'bf16'] as const).flatMap((dtype) =>
    plans.map(
      ([rows, inner, columns]): Case => ({
        op: 'matmul',
        title: `[2,${rows},${inner}] × [2,${inner},${columns}] in ${dtype}`,
        run: (bench) =>
          agree(
            bench,
            (backend) => {
              const a = floatTensor(backend, 97, [2, rows, inner]);
              const stored = (shape: Shape) => backend.upload(hostData(98, dtype, shape), dtype, shape);
              return {
                plain: backend.matmul(a, stored([2, inner, columns])),
                transposed: backend.matmul(a, stored([2, columns, inner]), { transposeB: true }),
                shared: backend.matmul(a, stored([columns, inner]), { transposeB: true, coarse: true }),
              };
            },
            {
              plain: { ofLargest: 10 * bench.tolerance.element },
              transposed: { ofLargest: 10 * bench.tolerance.element },
              shared: { ofLargest: Math.max(2e-5, bench.tolerance.product) },
            },
          ),
      }),
    ),
  );
}

/** Operands that may be rounded: exact where nothing else is rounded either. */
function coarseCases(): Case[] {
  const shapes: readonly (readonly [lead: number, rows: number, inner: number, columns: number])[] = [
    [1, 1, 1, 1],
    [2, 3, 7, 5],
    [3, 65, 131, 64],
    [1, 300, 66, 130],
    [1, 20, 2100, 33],
    [1, 2, 0, 3],
  ];
  return shapes.map(
    ([lead, rows, inner, columns]): Case => ({
      op: 'matmul',
      title: `coarse: ${lead} of [${rows},${inner}] × [${inner},${columns}]`,
      run: (bench) =>
        agree(
          bench,
          (backend) => {
            const a = floatTensor(backend, 91, [lead, rows, inner]);
            const [b, transposed] = [
              floatTensor(backend, 92, [inner, columns]),
              floatTensor(backend, 93, [lead, columns, inner]),
            ];
            return {
              plain: backend.matmul(a, b, { coarse: true }),
              transposed: backend.matmul(a, transposed, { transposeB: true, coarse: true }),
            };
          },
          { ofLargest: Math.max(2e-5, bench.tolerance.product) },
        ),
    }),
  );
}

/** Rows far from 0, whose differences from the mean are what counts. */
function covarianceCases(): Case[] {
  const plans: readonly (readonly [rows: number, heads: number, headDim: number, first: number])[] = [
    [1, 1, 1, 0],
    [2, 3, 5, 1],
    [70, 2, 24, 4],
    [1300, 3, 64, 0],
    [2100, 1, 17, 3],
    [9300, 2, 6, 5],
  ];
  return plans.map(
    ([rows, heads, headDim, first]): Case => ({
      op: 'covariance',
      title: `${rows} rows from ${first} on, ${heads} heads of ${headDim}`,
      run: (bench) =>
        agree(
          bench,
          (backend) => {
            const x = backend.zip(floatTensor(backend, 96, [rows, heads * headDim]), 50, 'add');
            return { ...backend.covariance(x, { heads, first }) };
          },
          { mean: { relative: 1e-6 }, covariance: { ofLargest: Math.max(2e-5, bench.tolerance.product), absolute: 1e-6 } },
        ),
    }),
  );
}

/** matmul, covariance */
export function productCases(): Case[] {
  return [...matmulCases(), ...storedCases(), ...coarseCases(), ...covarianceCases()];
}
