import type { Backend, KvView, Tensor } from '@kvsift/tensor';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { createReferenceBackend } from './reference-backend.js';

const backend: Backend = createReferenceBackend();
afterAll(() => backend.dispose());

const upload = (values: readonly number[], shape: readonly number[]) => backend.upload(Float32Array.from(values), 'f32', shape);
const integers = (...values: readonly number[]) => backend.upload(Int32Array.from(values), 'i32', [values.length]);
const list = async (x: Tensor) => Array.from(await x.read());
const normal = fc.float({ min: -4, max: 4, noNaN: true });
const anyScore = fc.oneof({ weight: 4, arbitrary: fc.constantFrom(-1, 0, 0.5, 2) }, fc.float());

/** A dense f32 view of keys and values [kvHeads][n][headDim]. */
function denseView(keys: readonly number[][][], values: readonly number[][][]): KvView {
  const [kvHeads, n, headDim] = [keys.length, keys[0]?.length ?? 0, keys[0]?.[0]?.length ?? 0];
  return {
    dtype: 'f32',
    kvHeads,
    headDim,
    keys: upload(keys.flat(2), [kvHeads * n, headDim]),
    values: upload(values.flat(2), [kvHeads * n, headDim]),
    lengths: integers(...keys.map(() => n)),
    starts: integers(...keys.map((_, head) => head * n)),
    maxLength: n,
    uniform: true,
  };
}

const attentionCase = fc
  .record({
    kvHeads: fc.integer({ min: 1, max: 3 }),
    group: fc.integer({ min: 1, max: 3 }),
    headDim: fc.integer({ min: 1, max: 5 }),
    n: fc.integer({ min: 1, max: 9 }),
    rows: fc.integer({ min: 1, max: 9 }),
    seed: fc.array(normal, { minLength: 16, maxLength: 16 }),
  })
  .map(({ rows, n, ...rest }) => ({ ...rest, n, rows: Math.min(rows, n) }));

describe('attention', () => {
  it('is Σ exp(q·k · scale) v / Σ exp(q·k · scale) over what a row sees, and columns are its weights', async () => {
    await fc.assert(
      fc.asyncProperty(attentionCase, async ({ kvHeads, group, headDim, n, rows, seed }) => {
        const number = (...at: number[]) => Math.fround(Math.sin(at.reduce((all, i) => all * 7 + i + 1, seed[at[0] ?? 0] ?? 0)));
        const block = (kind: number) =>
          Array.from({ length: kvHeads }, (_, g) =>
            Array.from({ length: n }, (_, j) => Array.from({ length: headDim }, (_, c) => number(kind, g, j, c))),
          );
        const [keys, values] = [block(1), block(2)];
        const heads = kvHeads * group;
        const q = (i: number, h: number, c: number) => number(3, i, h, c);
        const scale = 0.7;
        const view = denseView(keys, values);
        const flat = Array.from({ length: rows * heads * headDim }, (_, at) =>
          q(Math.floor(at / (heads * headDim)), Math.floor(at / headDim) % heads, at % headDim),
        );
        const query = upload(flat, [rows, heads * headDim]);
        const { output, logSumExp } = backend.attention(query, [{ view, rows }], { queryHeads: heads, scale, logSumExp: true });
        const options = { queryHeads: heads, scale, mask: 'causal' } as const;
        const sums = await list(backend.attentionColumns(query, view, 'sum', options));
        const maxima = await list(backend.attentionColumns(query, view, 'max', options));
        const all = await list(backend.attentionRows(query, view, options));
        const [out, lse] = [await list(output), logSumExp ? await list(logSumExp) : []];
        for (let h = 0; h < heads; h++) {
          const g = Math.floor(h / group);
          const columns = Array.from({ length: n }, () => [] as number[]);
          for (let i = 0; i < rows; i++) {
            const seen = n - rows + i + 1;
            const weights = Array.from({ length: seen }, (_, j) =>
              Math.exp(scale * (keys[g]?.[j] ?? []).reduce((sum, k, c) => sum + k * q(i, h, c), 0)),
            );
            const total = weights.reduce((a, b) => a + b, 0);
            expect(lse[i * heads + h]).toBeCloseTo(Math.log(total), 5);
            for (let c = 0; c < headDim; c++) {
              const mean = weights.reduce((sum, w, j) => sum + w * (values[g]?.[j]?.[c] ?? 0), 0) / total;
              expect(out[(i * heads + h) * headDim + c]).toBeCloseTo(mean, 5);
            }
            for (let j = 0; j < n; j++) {
              const weight = j < seen ? (weights[j] ?? 0) / total : 0;
              expect(all[(h * rows + i) * n + j]).toBeCloseTo(weight, 5);
              columns[j]?.push(weight);
            }
          }
          for (let j = 0; j < n; j++) {
            expect(sums[h * n + j]).toBeCloseTo(
              (columns[j] ?? []).reduce((a, b) => a + b, 0),
              5,
            );
            expect(maxima[h * n + j]).toBeCloseTo(Math.max(...(columns[j] ?? [])), 5);
          }
        }
      }),
      { numRuns: 60 },
    );
  });
});

/** Higher score first, then lower index, NaN as the lowest: written out as a count of those that come before. */
function comesBefore(scores: readonly number[], a: number, b: number): boolean {
  const value = (at: number) => (Number.isNaN(scores[at]) ? -Infinity : (scores[at] ?? 0));
  return value(a) > value(b) || (value(a) === value(b) && a < b);
}

describe('selection', () => {
  const rowsOfScores = fc
    .record({ heads: fc.integer({ min: 1, max: 3 }), n: fc.integer({ min: 1, max: 12 }) })
    .chain(({ heads, n }) =>
      fc.record({
        scores: fc.array(fc.array(anyScore, { minLength: n, maxLength: n }), { minLength: heads, maxLength: heads }),
        keep: fc.integer({ min: 0, max: n }),
        total: fc.integer({ min: 0, max: heads * n }),
        first: fc.integer({ min: 0, max: n }),
      }),
    );

  it('top keeps the protected entries and those that fewer than the rest come before', async () => {
    await fc.assert(
      fc.asyncProperty(rowsOfScores, async ({ scores, keep, first }) => {
        const n = scores[0]?.length ?? 0;
        const protectFirst = Math.min(first, keep);
        const { indices } = backend.top(upload(scores.flat(), [scores.length, n]), { keep, protectFirst });
        const kept = await list(indices);
        for (const [head, row] of scores.entries()) {
          const own = kept.slice(head * keep, (head + 1) * keep);
          const expected = row
            .map((_, index) => index)
            .filter((index) => {
              if (index < protectFirst) return true;
              const ahead = row.filter((_, other) => other >= protectFirst && comesBefore(row, other, index)).length;
              return ahead < keep - protectFirst;
            });
          expect(own).toEqual(expected);
        }
      }),
    );
  });

  it('topShares counts the best of all heads', async () => {
    await fc.assert(
      fc.asyncProperty(rowsOfScores, async ({ scores, total }) => {
        const n = scores[0]?.length ?? 0;
        const all = scores.flat();
        const counts = await list(backend.topShares(upload(all, [scores.length, n]), total));
        const expected = scores.map(
          (_, head) =>
            all.filter(
              (_, index) =>
                Math.floor(index / n) === head && all.filter((_, other) => comesBefore(all, other, index)).length < total,
            ).length,
        );
        expect(counts).toEqual(expected);
      }),
    );
  });

  it('rank numbers each row by what comes before, NaN last', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(anyScore, { minLength: 1, maxLength: 12 }), async (row) => {
        const before = (a: number, b: number) => {
          const [x = 0, y = 0] = [row[a], row[b]];
          if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) === Number.isNaN(y) ? a < b : Number.isNaN(y);
          return x < y || (x === y && a < b);
        };
        const ranks = await list(backend.rank(upload(row, [row.length])));
        expect(ranks).toEqual(row.map((_, index) => row.filter((_, other) => before(other, index)).length));
      }),
    );
  });

  it('roundShares sums to the total, stays in 0 … cap, and is within one of shares that sum to it', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 0, max: 1000 }), { minLength: 1, maxLength: 9 }), async (weights) => {
        const sum = weights.reduce((a, b) => a + b, 0) || 1;
        const total = 37;
        const shares = weights.map((weight) => (weight / sum) * total);
        fc.pre(weights.some((weight) => weight > 0));
        const out = await list(backend.roundShares(upload(shares, [shares.length]), total, total));
        expect(out.reduce((a, b) => a + b, 0)).toBe(total);
        for (const [index, count] of out.entries()) expect(Math.abs(count - (shares[index] ?? 0))).toBeLessThan(1.001);
      }),
    );
  });
});

describe('sampling', () => {
  const rule = { temperature: 1, topK: 0, topP: 1, minP: 0 };
  const log = (...probabilities: readonly number[]) => probabilities.map((p) => Math.log(p));

  async function draw(probabilities: readonly number[], change: object, uniform: number): Promise<number | undefined> {
    const logits = upload(log(...probabilities), [1, probabilities.length]);
    return (await list(backend.sample(logits, [{ ...rule, ...change, uniform }]).ids))[0];
  }

  it('draws from the most likely on', async () => {
    const p = [0.1, 0.5, 0.15, 0.25];
    expect(await draw(p, {}, 0.49)).toBe(1);
    expect(await draw(p, {}, 0.51)).toBe(3);
    expect(await draw(p, {}, 0.76)).toBe(2);
    expect(await draw(p, {}, 0.91)).toBe(0);
  });

  it('cuts by k, by mass and by the share of the best', async () => {
    const p = [0.1, 0.5, 0.15, 0.25];
    expect(await draw(p, { topK: 2 }, 0.99)).toBe(3);
    expect(await draw(p, { topP: 0.7 }, 0.99)).toBe(3);
    expect(await draw(p, { topP: 0.45 }, 0.99)).toBe(1);
    expect(await draw(p, { minP: 0.4 }, 0.99)).toBe(3);
    expect(await draw(p, { minP: 1 }, 0.99)).toBe(1);
  });

  it('sharpens with the temperature, and reports probabilities of the logits as they came', async () => {
    const p = [0.4, 0.6];
    expect(await draw(p, { temperature: 0.5 }, 0.68)).toBe(1);
    expect(await draw(p, { temperature: 0.5 }, 0.7)).toBe(0);
    const { logProbs } = backend.sample(upload(log(...p), [1, 2]), [{ ...rule, temperature: 0.5, uniform: 0.7 }]);
    expect((await list(logProbs))[0]).toBeCloseTo(Math.log(0.4), 6);
  });
});

describe('weights', () => {
  it('multiplies by what the blocks stand for', async () => {
    const bytes = Uint8Array.from({ length: 34 }, (_, index) => (index < 2 ? ([0x00, 0x38][index] ?? 0) : index - 2));
    const weight = backend.upload(bytes, 'q8_0', [1, 32]);
    const x = upload(new Array<number>(32).fill(1), [1, 32]);
    expect(await list(backend.linear(x, weight))).toEqual([(0.5 * 31 * 32) / 2]);
    expect((await list(backend.dequantize(weight))).slice(0, 4)).toEqual([0, 0.5, 1, 1.5]);
  });
});
