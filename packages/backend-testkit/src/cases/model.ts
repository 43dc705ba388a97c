import type { SamplingRule } from '@kvsift/tensor';
import { agree, failsStream } from '../agree.js';
import type { Bench, Case } from '../case.js';
import { floatTensor, integerTensor } from '../inputs.js';

const wrongIds: readonly number[] = [5, -1, 2 ** 31 - 1];

function rowCases(): Case[] {
  const shapes: readonly (readonly [number, number])[] = [
    [1, 1],
    [1, 64],
    [5, 127],
    [33, 576],
    [0, 8],
  ];
  const near = ({ tolerance }: Bench) => ({ relative: tolerance.element, ofLargest: tolerance.element });
  return [
    ...wrongIds.map(
      (id): Case => ({
        op: 'embedding',
        title: `id ${id} of 5 rows fails the stream`,
        run: ({ actual }) =>
          failsStream(actual, 'embedding', (backend) =>
            backend.embedding(floatTensor(backend, 1, [5, 4]), integerTensor(backend, [0, id])),
          ),
      }),
    ),
    ...shapes.flatMap(([rows, columns]): Case[] => [
      {
        op: 'rmsNorm',
        title: `${rows} × ${columns}`,
        run: (bench) =>
          agree(
            bench,
            (backend) => {
              const [x, weight] = [floatTensor(backend, 1, [rows, columns]), floatTensor(backend, 2, [columns])];
              const extreme = floatTensor(backend, 3, [rows, columns], 'outliers');
              return {
                plain: backend.rmsNorm(x, weight, { epsilon: 1e-5 }),
                offset: backend.rmsNorm(x, weight, { epsilon: 1e-6, weightOffset: 1 }),
                outliers: backend.rmsNorm(extreme, weight, { epsilon: 1e-5 }),
                zeros: backend.rmsNorm(backend.zip(x, 0, 'mul'), weight, { epsilon: 1e-5 }),
              };
            },
            near(bench),
          ),
      },
      {
        op: 'gated',
        title: `${rows} × ${columns} of each activation`,
        run: (bench) =>
          agree(
            bench,
            (backend) => {
              const x = backend.zip(floatTensor(backend, 4, [rows, 2 * columns]), 4, 'mul');
              return {
                silu: backend.gated(x, 'silu'),
                tanh: backend.gated(x, 'gelu_tanh'),
                erf: backend.gated(x, 'gelu'),
              };
            },
            { ...near(bench), absolute: 2e-6 },
          ),
      },
      {
        op: 'splitColumns',
        title: `${rows} × ${columns}`,
        run: (bench) =>
          agree(bench, (backend) => {
            const cut = Math.floor(columns / 3);
            const [a, b, c] = backend.splitColumns(floatTensor(backend, 5, [rows, columns]), [cut, 0, columns - cut]);
            if (!a || !b || !c) throw new Error('splitColumns made fewer than three pieces');
            return { a, b, c };
          }),
      },
    ]),
    {
      op: 'gated',
      title: 'large inputs saturate without NaN',
      run: (bench) =>
        agree(
          bench,
          (backend) => {
            const x = backend.upload(Float32Array.of(-200, 200, -1e4, 1e4, 1, 1, 1, 1), 'f32', [1, 8]);
            return { silu: backend.gated(x, 'silu'), tanh: backend.gated(x, 'gelu_tanh'), erf: backend.gated(x, 'gelu') };
          },
          { ...near(bench), absolute: 1e-6 },
        ),
    },
    {
      op: 'softcap',
      title: 'small, large and infinite values',
      run: (bench) =>
        agree(
          bench,
          (backend) => {
            const x = backend.upload(Float32Array.of(0, 1e-4, -3, 29, 1e5, -1e5, Infinity, -Infinity), 'f32', [2, 4]);
            return { out: backend.softcap(x, 30), outliers: backend.softcap(floatTensor(backend, 6, [13, 11], 'outliers'), 50) };
          },
          { relative: bench.tolerance.element, absolute: 1e-9 },
        ),
    },
  ];
}

const ropePlans: readonly (readonly [headDim: number, rotary: number, heads: number])[] = [
  [8, 8, 3],
  [20, 20, 1],
  [64, 64, 9],
  [80, 32, 4],
  [128, 128, 2],
  [8, 0, 1],
];

function ropeCases(): Case[] {
  return ropePlans.map(
    ([headDim, rotary, heads]): Case => ({
      op: 'rope',
      title: `${heads} heads of ${headDim}, ${rotary} rotary`,
      run: (bench) =>
        agree(
          bench,
          (backend) => {
            const half = rotary / 2;
            const frequencies = Float32Array.from({ length: half }, (_, pair) => 10000 ** (-pair / half));
            const inverseFrequencies = backend.upload(frequencies, 'f32', [half]);
            const at = [0, 1, 2, 511, 8191, 131071];
            const x = floatTensor(backend, 7, [at.length, heads * headDim]);
            const positions = integerTensor(backend, at);
            const none = backend.slice(x, 0, 0, 0);
            return {
              plain: backend.rope(x, positions, { heads, inverseFrequencies }),
              scaled: backend.rope(x, positions, { heads, inverseFrequencies, scale: 1.19 }),
              empty: backend.rope(none, integerTensor(backend, []), { heads, inverseFrequencies }),
            };
          },
          { ofLargest: 2 * bench.tolerance.element },
        ),
    }),
  );
}

const rule = (change: Partial<SamplingRule>): SamplingRule => ({
  temperature: 1,
  topK: 0,
  topP: 1,
  minP: 0,
  uniform: 0.5,
  ...change,
});

/** Rules whose draws lie away from the borders between tokens. */
const sampling: Readonly<Record<string, readonly SamplingRule[]>> = {
  greedy: [rule({ temperature: 0 })],
  'temperature 1': [0.03, 0.31, 0.77, 0.999].map((uniform) => rule({ uniform })),
  'temperature 0.4': [0.03, 0.31, 0.77, 0.999].map((uniform) => rule({ temperature: 0.4, uniform })),
  'top 1': [rule({ topK: 1, uniform: 0.9 })],
  'top 3': [0.1, 0.6, 0.99].map((uniform) => rule({ topK: 3, uniform })),
  'top-p': [0.1, 0.6, 0.99].map((uniform) => rule({ topP: 0.3, uniform })),
  'top-p 0': [rule({ topP: 0, uniform: 0.99 })],
  'min-p': [0.1, 0.6, 0.99].map((uniform) => rule({ minP: 0.5, uniform })),
  'all together': [0.1, 0.6, 0.99].map((uniform) => rule({ temperature: 0.7, topK: 40, topP: 0.8, minP: 0.2, uniform })),
};

function sampleCases(): Case[] {
  const closeness = { ids: 'exact' as const, logProbs: { relative: 2e-6, absolute: 2e-6 } };
  return [
    ...[1, 2, 13, 500].flatMap((vocabulary) =>
      Object.entries(sampling).map(
        ([name, rules]): Case => ({
          op: 'sample',
          title: `${name}, ${vocabulary} tokens`,
          run: (bench) =>
            agree(
              bench,
              (backend) => {
                const logits = backend.zip(floatTensor(backend, 40 + vocabulary, [rules.length, vocabulary]), 5, 'mul');
                return backend.sample(logits, rules);
              },
              closeness,
            ),
        }),
      ),
    ),
    {
      op: 'sample',
      title: 'greedy: ties go to the lowest id, NaN is never chosen, −∞ has no probability',
      run: (bench) =>
        agree(
          bench,
          (backend) => {
            const rows = [1, 5, 5, 2, Number.NaN, 7, 7, 1, -Infinity, -Infinity, 0, -Infinity];
            const logits = backend.upload(Float32Array.from(rows), 'f32', [3, 4]);
            return backend.sample(logits, [rule({ temperature: 0 }), rule({ temperature: 0 }), rule({ uniform: 0.99 })]);
          },
          closeness,
        ),
    },
    {
      op: 'sample',
      title: 'equal logits are drawn in the order of their ids',
      run: (bench) =>
        agree(
          bench,
          (backend) => {
            const logits = backend.upload(new Float32Array(4 * 10), 'f32', [4, 10]);
            return backend.sample(
              logits,
              [0.05, 0.35, 0.55, 0.95].map((uniform) => rule({ uniform })),
            );
          },
          closeness,
        ),
    },
  ];
}

/** rmsNorm, gated, softcap, splitColumns, rope, sample, and ids that are out of range. */
export function modelCases(): Case[] {
  return [...rowCases(), ...ropeCases(), ...sampleCases()];
}
