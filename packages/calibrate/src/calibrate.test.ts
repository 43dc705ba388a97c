import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createReferenceBackend } from '@kvsift/backend-reference';
import { demoModelPath } from '@kvsift/demo-model';
import { load } from '@kvsift/engine';
import { observed } from '@kvsift/policy';
import { expectedAttention } from '@kvsift/policy-expected-attention';
import { qFilters } from '@kvsift/policy-q-filters';
import { afterAll, describe, expect, it } from 'vitest';
import { queryFilters, queryStatistics, retrievalHeads, streamingGates, writeFilters, writeStatistics } from './index.js';
import { idsOf, lookAt } from './look.js';

const backend = createReferenceBackend();
const model = await load(demoModelPath(), { backend });
const { layers, queryHeads, kvHeads, headDim } = model.decoder.config;
const texts = ['A cat touched the large bird, and the baker repaired it beside a large wind. '.repeat(6)];

const folder = mkdtempSync(join(tmpdir(), 'kvsift-calibrate-'));
afterAll(() => rmSync(folder, { recursive: true }));

describe('calibration', () => {
  it('makes filters that q-filters takes, turned against most queries', async () => {
    const filters = await queryFilters(model, texts, { tokens: 60, samples: 40 });
    expect(filters.shape).toEqual([layers.length, kvHeads, headDim]);
    expect(filters.values.every(Number.isFinite)).toBe(true);
    const path = join(folder, 'filters.safetensors');
    await writeFilters(path, filters, 'demo');
    using session = model.session({ policy: qFilters({ filters: path }), budget: 12 });
    await session.prefill(Int32Array.from({ length: 40 }, (_, index) => index + 5));
    expect(session.statistics().entries).toBe(layers.length * kvHeads * 12);
  });

  it('makes statistics of all queries that expected-attention takes', async () => {
    const piece = 60;
    const long = texts[0] ?? '';
    const statistics = await queryStatistics(model, [long, long.slice(7)], { samples: 3, characters: piece });
    expect(statistics.shape).toEqual([layers.length, queryHeads, headDim]);
    // Computed anew, all queries at once.
    const rows: number[][] = [];
    for (const text of [long.slice(0, piece), long.slice(7, 7 + piece), long.slice(piece, 2 * piece)])
      await lookAt(model, idsOf(model, text, 1000), { queriesBeforeRotation: 'all' }, async (view) => {
        if (view.layer !== 1) return;
        const numbers = (await observed(view, 'queriesBeforeRotation').read()) as Float32Array;
        const width = queryHeads * headDim;
        for (let row = 4; row < view.length; row++)
          rows.push([...numbers.subarray(row * width + headDim, row * width + 2 * headDim)]);
      });
    const mean = Array.from({ length: headDim }, (_, c) => rows.reduce((sum, row) => sum + (row[c] ?? 0), 0) / rows.length);
    const head = queryHeads + 1;
    for (let a = 0; a < headDim; a++) {
      expect(statistics.mean[head * headDim + a]).toBeCloseTo(mean[a] ?? 0, 4);
      for (let b = 0; b < headDim; b++) {
        const apart = (row: number[], c: number) => (row[c] ?? 0) - (mean[c] ?? 0);
        const expected = rows.reduce((sum, row) => sum + apart(row, a) * apart(row, b), 0) / (rows.length - 1);
        expect(statistics.covariance[(head * headDim + a) * headDim + b]).toBeCloseTo(expected, 3);
      }
    }
    const path = join(folder, 'statistics.safetensors');
    await writeStatistics(path, statistics, 'demo');
    using session = model.session({ policy: expectedAttention({ statistics: path }), budget: 12 });
    await session.prefill(Int32Array.from({ length: 40 }, (_, index) => index + 5));
    expect(session.statistics().entries).toBe(layers.length * kvHeads * 12);
  });

  it('finds heads that copy, as shares', async () => {
    const table = await retrievalHeads(model, texts, { tokens: 96, samples: 3 });
    expect(table).toHaveLength(layers.length);
    for (const row of table) expect(row).toHaveLength(queryHeads);
    const all = table.flat();
    expect(all.every((share) => share >= 0 && share <= 1)).toBe(true);
    // The model was trained to copy hidden numbers.
    expect(Math.max(...all)).toBeGreaterThan(0.3);
  });

  it('gates heads between 0 and 1, with differences', async () => {
    const gates = (await streamingGates(model, texts, 60)).flat();
    expect(gates.every((gate) => gate > 0 && gate <= 1)).toBe(true);
    expect(new Set(gates).size).toBe(gates.length);
  });
});
