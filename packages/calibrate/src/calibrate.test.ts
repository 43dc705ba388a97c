import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createReferenceBackend } from '@kvsift/backend-reference';
import { demoModelPath } from '@kvsift/demo-model';
import { load } from '@kvsift/engine';
import { qFilters } from '@kvsift/policy-q-filters';
import { describe, expect, it } from 'vitest';
import { queryFilters, retrievalHeads, streamingGates, writeFilters } from './index.js';

const backend = createReferenceBackend();
const model = await load(demoModelPath(), { backend });
const { layers, queryHeads, kvHeads, headDim } = model.decoder.config;
const texts = ['A cat touched the large bird, and the baker repaired it beside a large wind. '.repeat(6)];

describe('calibration', () => {
  it('makes filters that q-filters takes, turned against most queries', async () => {
    const filters = await queryFilters(model, texts, { tokens: 60, samples: 40 });
    expect(filters.shape).toEqual([layers.length, kvHeads, headDim]);
    expect(filters.values.every(Number.isFinite)).toBe(true);
    const path = join(mkdtempSync(join(tmpdir(), 'kvsift-calibrate-')), 'demo.safetensors');
    await writeFilters(path, filters, 'demo');
    using session = model.session({ policy: qFilters({ filters: path }), budget: 12 });
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
