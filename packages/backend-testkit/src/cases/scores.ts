import type { Backend, RandomKey, Selection, TopOptions } from '@kvsift/tensor';
import { agree, demand, failsStream, outcome } from '../agree.js';
import type { Bench, Case } from '../case.js';
import { floatTensor, integerTensor, type Kind, numbers } from '../inputs.js';

const parts = ({ indices, offsets }: Selection) => ({ indices, offsets });

/** Scores [3, n] with every awkward value among them. */
function awkward(backend: Backend, n: number) {
  const values = numbers(51, 3 * n, 'ties');
  const special = [Number.NaN, Infinity, -Infinity, 0, -0, 1e-45, -1e-45, 3.4e38];
  for (const [index, value] of special.entries()) if (index * 5 + 1 < values.length) values[index * 5 + 1] = value;
  return backend.upload(values, 'f32', [3, n]);
}

function topCase(title: string, n: number, kind: Kind, options: (backend: Backend) => TopOptions): Case {
  return {
    op: 'top',
    title: `${title}, ${n} entries, ${kind}`,
    run: (bench) => agree(bench, (backend) => parts(backend.top(floatTensor(backend, 52, [3, n], kind), options(backend)))),
  };
}

function topCases(): Case[] {
  const sizes = [1, 2, 13, 64, 1009];
  return [
    ...(['plain', 'ties', 'outliers'] as const).flatMap((kind) =>
      sizes.flatMap((n) => [
        ...[0, 1, Math.ceil(n / 3), n].map((keep) => topCase(`keep ${keep}`, n, kind, () => ({ keep }))),
        topCase('protected ends', n, kind, () => ({
          keep: Math.ceil(n / 2),
          protectFirst: Math.floor(n / 8),
          protectLast: Math.floor(n / 6),
        })),
        topCase('ragged counts', n, kind, (backend) => {
          const counts = [Math.floor(n / 2), 0, n];
          const total = counts.reduce((sum, count) => sum + count, 0);
          return { keep: { counts: integerTensor(backend, counts), total, max: n } };
        }),
      ]),
    ),
    topCase('protected by a mask', 64, 'plain', (backend) => ({
      keep: 20,
      protectFirst: 2,
      protect: backend.zip(floatTensor(backend, 53, [3, 64]), -1.2, 'less'),
    })),
    {
      op: 'top',
      title: 'NaN last, infinities, both zeros equal',
      run: async (bench) => {
        for (const keep of [1, 7, 20, 38, 40])
          await agree(bench, (backend) => parts(backend.top(awkward(backend, 40), { keep, protectLast: 1 })));
      },
    },
    {
      op: 'top',
      title: 'counts that do not sum to the total fail the stream',
      run: ({ actual }) =>
        failsStream(actual, 'top', (backend) => {
          const keep = { counts: integerTensor(backend, [1, 2, 3]), total: 7, max: 4 };
          return backend.top(floatTensor(backend, 1, [3, 5]), { keep }).indices;
        }),
    },
    {
      op: 'top',
      title: 'more protected entries than a head may keep fail the stream',
      run: ({ actual }) =>
        failsStream(actual, 'top', (backend) => {
          const keep = { counts: integerTensor(backend, [4, 1, 1]), total: 6, max: 4 };
          return backend.top(floatTensor(backend, 1, [3, 5]), { keep, protectLast: 2 }).indices;
        }),
    },
    {
      op: 'top',
      title: 'sizes that the host knows',
      run: async ({ actual }) => {
        await outcome(actual, (backend) => {
          const even = backend.top(floatTensor(backend, 1, [3, 9]), { keep: 4 });
          demand(
            even.total === 12 && even.perHead === 4 && even.maxPerHead === 4,
            'top: total 12, perHead 4 and maxPerHead 4 are known',
          );
          const keep = { counts: integerTensor(backend, [1, 2, 3]), total: 6, max: 5 };
          const ragged = backend.top(floatTensor(backend, 1, [3, 9]), { keep });
          demand(
            ragged.total === 6 && ragged.perHead === undefined && ragged.maxPerHead === 5,
            'top: ragged counts have no perHead',
          );
          const given = backend.selection(Int32Array.of(1, 0, 5), Int32Array.of(0, 1, 3));
          demand(given.total === 3 && given.perHead === undefined && given.maxPerHead === 2, 'selection: total 3, maxPerHead 2');
          return {};
        });
      },
    },
  ];
}

function shareCases(): Case[] {
  const shares: readonly (readonly [title: string, shares: readonly number[], total: number, cap: number])[] = [
    ['fractions', [1.5, 2.25, 0.25, 4], 8, 10],
    ['ties', [0.5, 0.5, 0.5, 0.5], 2, 4],
    ['a cap', [9.6, 0.2, 0.2], 10, 5],
    ['everything at the cap', [1, 2, 3], 12, 4],
    ['too much', [3.5, 3.5, 3.5], 9, 9],
    ['nothing', [0, 0, 0], 0, 3],
    ['negative shares', [-1, 2.6, 2.4], 5, 5],
    ['one', [7.3], 7, 9],
    ['fewer whole shares than the total', [0.1, 0.2, 0.3], 7, 5],
  ];
  return [
    ...[0, 1, 17, 120].map(
      (total): Case => ({
        op: 'topShares',
        title: `${total} of 120`,
        run: (bench) =>
          agree(bench, (backend) => ({
            ties: backend.topShares(floatTensor(backend, 54, [3, 40], 'ties'), total),
            outliers: backend.topShares(floatTensor(backend, 55, [3, 40], 'outliers'), total),
            awkward: backend.topShares(awkward(backend, 40), total),
          })),
      }),
    ),
    ...shares.map(
      ([title, values, total, cap]): Case => ({
        op: 'roundShares',
        title,
        run: (bench) =>
          agree(bench, (backend) => ({
            out: backend.roundShares(backend.upload(Float32Array.from(values), 'f32', [values.length]), total, cap),
          })),
      }),
    ),
    {
      op: 'selection',
      title: 'keeps what it is given',
      run: (bench) => agree(bench, (backend) => parts(backend.selection(Int32Array.of(0, 4, 9, 2), Int32Array.of(0, 3, 3, 4)))),
    },
  ];
}

function poolCases(): Case[] {
  return [1, 3, 7, 63].map(
    (kernel): Case => ({
      op: 'pool',
      title: `kernel ${kernel}`,
      run: async (bench) => {
        const near = { relative: bench.tolerance.element, ofLargest: bench.tolerance.element };
        for (const shape of [
          [1, 1],
          [2, 13],
          [3, 2, 257],
          [4, 0],
        ]) {
          const inputs = (backend: Backend) =>
            [floatTensor(backend, 56, shape), floatTensor(backend, 57, shape, 'outliers')] as const;
          await agree(
            bench,
            (backend) => {
              const [plain, outliers] = inputs(backend);
              return { plain: backend.pool(plain, kernel, 'average'), outliers: backend.pool(outliers, kernel, 'average') };
            },
            near,
          );
          await agree(bench, (backend) => {
            const [plain, outliers] = inputs(backend);
            return { plain: backend.pool(plain, kernel, 'max'), outliers: backend.pool(outliers, kernel, 'max') };
          });
        }
      },
    }),
  );
}

function rankCases(): Case[] {
  return [
    {
      op: 'rank',
      title: 'ties, outliers, NaN and infinities',
      run: (bench) =>
        agree(bench, (backend) => ({
          ties: backend.rank(floatTensor(backend, 58, [2, 3, 50], 'ties')),
          outliers: backend.rank(floatTensor(backend, 59, [131], 'outliers')),
          long: backend.rank(floatTensor(backend, 58, [2, 3000])),
          longTies: backend.rank(floatTensor(backend, 58, [2, 3000], 'ties')),
          longOutliers: backend.rank(backend.map(floatTensor(backend, 59, [2, 1777], 'outliers'), 'log')),
          awkward: backend.rank(awkward(backend, 40)),
          one: backend.rank(floatTensor(backend, 60, [4, 1])),
        })),
    },
  ];
}

async function uniformNumbers(bench: Bench): Promise<void> {
  const keys: readonly RandomKey[] = [
    { seed: 0, sequence: 0, layer: 0, purpose: 0 },
    { seed: 4294967295, sequence: 1, layer: 31, purpose: 3 },
    { seed: 12345, sequence: 4294967295, layer: 4294967295, purpose: 4294967295 },
  ];
  for (const key of keys) {
    await agree(bench, (backend) => ({
      odd: backend.uniform(key, 3, 37),
      row: backend.uniform(key, 1, 4),
      empty: backend.uniform(key, 0, 4),
    }));
  }
}

/** pool, top, topShares, roundShares, selection, rank, uniform: exact, but for the average. */
export function scoreCases(): Case[] {
  return [
    ...poolCases(),
    ...topCases(),
    ...shareCases(),
    ...rankCases(),
    { op: 'uniform', title: 'the same numbers everywhere, to the bit', run: uniformNumbers },
  ];
}
