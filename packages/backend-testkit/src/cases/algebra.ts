import type { BinaryOp, ReduceOp, Shape, UnaryOp } from '@kvsift/tensor';
import { agree } from '../agree.js';
import type { Bench, Case } from '../case.js';
import { floatTensor, hostData } from '../inputs.js';

const unaries: readonly UnaryOp[] = ['exp', 'log', 'sqrt', 'abs', 'neg', 'square', 'reciprocal', 'floor', 'isfinite'];
const binaries: readonly BinaryOp[] = ['add', 'sub', 'mul', 'div', 'max', 'min', 'less'];
const reductions: readonly ReduceOp[] = ['sum', 'mean', 'max', 'min', 'variance'];
const special = Float32Array.of(0, -0, 1, -1, 0.5, -2.5, 1e-4, 1e4, 88, -104, 1e-40, 3e38, Infinity, -Infinity, Number.NaN, 7);

/** Ops whose result is one rounding of exact numbers. */
const exactUnary = new Set<UnaryOp>(['abs', 'neg', 'floor', 'isfinite']);
const exactBinary = new Set<BinaryOp>(['max', 'min', 'less', 'add', 'sub', 'mul']);

function elementCases(): Case[] {
  const near = ({ tolerance }: Bench) => ({ relative: tolerance.element, absolute: 1e-37 });
  const shapes: readonly (readonly [Shape, Shape])[] = [
    [[], []],
    [[7], [7]],
    [
      [5, 1],
      [1, 13],
    ],
    [
      [2, 3, 1, 5],
      [3, 4, 1],
    ],
    [[33, 17], [17]],
    [[3, 1, 2], [1]],
    [
      [0, 4],
      [1, 4],
    ],
  ];
  return [
    ...unaries.map(
      (op): Case => ({
        op: 'map',
        title: op,
        run: (bench) =>
          agree(
            bench,
            (backend) => ({
              special: backend.map(backend.upload(special, 'f32', [4, 4]), op),
              plain: backend.map(floatTensor(backend, 61, [3, 5, 7, 2]), op),
              outliers: backend.map(floatTensor(backend, 62, [131], 'outliers'), op),
              empty: backend.map(floatTensor(backend, 63, [0, 3]), op),
            }),
            exactUnary.has(op) ? 'exact' : { ...near(bench), absolute: op === 'log' ? 1e-6 : 1e-37 },
          ),
      }),
    ),
    ...binaries.map(
      (op): Case => ({
        op: 'zip',
        title: op,
        run: (bench) =>
          agree(
            bench,
            (backend) => {
              const column = backend.upload(special, 'f32', [16, 1]);
              const pairs = shapes.map(([a, b], index) => [
                `${a} with ${b}`,
                backend.zip(floatTensor(backend, 64 + index, a), floatTensor(backend, 74 + index, b, 'outliers'), op),
              ]);
              return {
                ...Object.fromEntries(pairs),
                special: backend.zip(column, backend.upload(special, 'f32', [1, 16]), op),
                number: backend.zip(column, 0.25, op),
                nan: backend.zip(column, Number.NaN, op),
              };
            },
            exactBinary.has(op) ? 'exact' : near(bench),
          ),
      }),
    ),
  ];
}

function rowCases(): Case[] {
  const shapes: readonly Shape[] = [[1], [7], [3, 131], [2, 3, 5, 4], [17, 1], [4, 0, 3]];
  const sums = ({ tolerance }: Bench) => ({ relative: tolerance.element, ofLargest: tolerance.element });
  return [
    ...reductions.map(
      (op): Case => ({
        op: 'reduce',
        title: op,
        run: async (bench) => {
          for (const shape of shapes) {
            for (const axis of shape.keys()) {
              if (shape[axis] === 0) continue;
              await agree(
                bench,
                (backend) => ({
                  front: backend.reduce(floatTensor(backend, 81, shape), axis, op),
                  back: backend.reduce(floatTensor(backend, 82, shape, 'outliers'), axis - shape.length, op),
                }),
                op === 'max' || op === 'min' ? 'exact' : { ...sums(bench), absolute: 1e-5 },
              );
            }
          }
        },
      }),
    ),
    {
      op: 'reduce',
      title: 'NaN and infinities pass on',
      run: (bench) =>
        agree(
          bench,
          (backend) => {
            const x = backend.reshape(backend.slice(backend.upload(special, 'f32', [16]), 0, 1, 16), [3, 5]);
            return { sum: backend.reduce(x, 1, 'sum'), max: backend.reduce(x, 1, 'max'), min: backend.reduce(x, 0, 'min') };
          },
          sums(bench),
        ),
    },
    {
      op: 'softmax',
      title: 'plain, sharp and masked rows',
      run: async (bench) => {
        for (const shape of [[1], [5, 1], [3, 131], [2, 3, 4, 7], [0, 5]]) {
          await agree(
            bench,
            (backend) => {
              const x = floatTensor(backend, 83, shape);
              const mask = backend.map(backend.zip(floatTensor(backend, 84, shape), 1, 'less'), 'log');
              return {
                plain: backend.softmax(x),
                outliers: backend.softmax(floatTensor(backend, 85, shape, 'outliers')),
                masked: shape.at(-1) === 1 ? x : backend.softmax(backend.zip(x, mask, 'add')),
              };
            },
            { ofLargest: bench.tolerance.element },
          );
        }
      },
    },
    {
      op: 'cumsum',
      title: 'plain rows and outliers',
      run: async (bench) => {
        for (const shape of [[1], [3, 131], [2, 3, 4, 7], [4, 0]]) {
          await agree(
            bench,
            (backend) => ({
              plain: backend.cumsum(floatTensor(backend, 86, shape)),
              outliers: backend.cumsum(floatTensor(backend, 87, shape, 'outliers')),
            }),
            sums(bench),
          );
        }
      },
    },
  ];
}

function layoutCases(): Case[] {
  return (['f32', 'i32'] as const).flatMap((dtype): Case[] => [
    {
      op: 'slice',
      title: dtype,
      run: (bench) =>
        agree(bench, (backend) => {
          const x = backend.upload(hostData(95, dtype, [3, 4, 5]), dtype, [3, 4, 5]);
          return {
            first: backend.slice(x, 0, 1, 3),
            middle: backend.slice(x, 1, 0, 1),
            last: backend.slice(x, -1, 2, 5),
            none: backend.slice(x, 1, 2, 2),
          };
        }),
    },
    {
      op: 'concat',
      title: dtype,
      run: (bench) =>
        agree(bench, (backend) => {
          const make = (seed: number, shape: Shape) => backend.upload(hostData(seed, dtype, shape), dtype, shape);
          return {
            rows: backend.concat([make(1, [2, 3]), make(2, [0, 3]), make(3, [5, 3])], 0),
            columns: backend.concat([make(4, [2, 3]), make(5, [2, 1])], -1),
            middle: backend.concat([make(6, [2, 1, 3]), make(7, [2, 4, 3]), make(8, [2, 2, 3])], 1),
            one: backend.concat([make(9, [7])], 0),
          };
        }),
    },
    {
      op: 'transpose',
      title: dtype,
      run: (bench) =>
        agree(bench, (backend) => {
          const make = (shape: Shape) => backend.upload(hostData(96, dtype, shape), dtype, shape);
          return {
            matrix: backend.transpose(make([13, 7]), [1, 0]),
            heads: backend.transpose(make([5, 3, 8]), [1, 0, 2]),
            reversed: backend.transpose(make([2, 3, 4, 5]), [3, 2, 1, 0]),
            same: backend.transpose(make([2, 3]), [0, 1]),
            empty: backend.transpose(make([0, 3]), [1, 0]),
          };
        }),
    },
  ]);
}

function conversionCases(): Case[] {
  return [
    {
      op: 'toFloat',
      title: 'from every element type',
      run: (bench) =>
        agree(bench, (backend) => {
          const all = (dtype: 'f16' | 'bf16') =>
            backend.upload(
              Uint16Array.from({ length: 65536 }, (_, bits) => bits),
              dtype,
              [256, 256],
            );
          return {
            f16: backend.toFloat(all('f16')),
            bf16: backend.toFloat(all('bf16')),
            f32: backend.toFloat(backend.upload(special, 'f32', [16])),
            i32: backend.toFloat(backend.upload(Int32Array.of(0, -1, 16777217, 2147483647, -2147483648), 'i32', [5])),
            u8: backend.toFloat(backend.upload(Uint8Array.of(0, 127, 128, 255), 'u8', [2, 2])),
          };
        }),
    },
    {
      op: 'toInt',
      title: 'drops the fraction; NaN becomes 0, what does not fit the nearest end',
      run: (bench) =>
        agree(bench, (backend) => ({
          plain: backend.toInt(floatTensor(backend, 97, [5, 7], 'outliers')),
          special: backend.toInt(backend.upload(special, 'f32', [16])),
        })),
    },
  ];
}

/** map, zip, reduce, softmax, cumsum, slice, concat, transpose, toFloat, toInt */
export function algebraCases(): Case[] {
  return [...elementCases(), ...rowCases(), ...layoutCases(), ...conversionCases()];
}
