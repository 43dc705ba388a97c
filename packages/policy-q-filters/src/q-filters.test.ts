import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createReferenceBackend } from '@kvsift/backend-reference';
import { conformance, evict, randomInputs } from '@kvsift/policy-testkit';
import { afterAll, describe, expect, it } from 'vitest';
import { filterOf, mainDirection } from './calibration.js';
import { qFilters } from './q-filters.js';

const folder = mkdtempSync(join(tmpdir(), 'kvsift-q-filters-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** A safetensors file with one f32 tensor. */
function filtersFile(name: string, shape: readonly number[], value: (index: number) => number): string {
  const size = shape.reduce((product, length) => product * length, 1);
  const header = JSON.stringify({ filters: { dtype: 'F32', shape, data_offsets: [0, 4 * size] } });
  const padded = header.padEnd(Math.ceil(header.length / 8) * 8);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(padded.length));
  const data = Buffer.from(Float32Array.from({ length: size }, (_, index) => value(index)).buffer);
  const path = join(folder, name);
  writeFileSync(path, Buffer.concat([length, Buffer.from(padded), data]));
  return path;
}

describe('qFilters', () => {
  // The same filter in every layer and head, as head order must not matter in the kit.
  const path = filtersFile('kit.safetensors', [4, 2, 8], (index) => Math.cos(index % 8));
  const subject = { definition: qFilters.definition, make: () => qFilters({ filters: path }) };
  for (const { name, run } of conformance(subject, createReferenceBackend)) it(name, run);

  it('keeps the keys that point against the filter', async () => {
    const one = filtersFile('one.safetensors', [1, 2, 8], (index) => (index % 8 === 0 ? 1 : 0));
    const inputs = randomInputs(3);
    const { kept } = await evict(createReferenceBackend(), qFilters({ filters: one }), inputs, {
      budget: { kind: 'tokens', tokens: 10 },
    });
    kept.forEach((slots, head) => {
      const first = Array.from({ length: 64 }, (_, slot) => ({ slot, value: inputs.keys[(head * 64 + slot) * 8] ?? 0 }));
      const lowest = first.sort((a, b) => a.value - b.value).slice(0, 10);
      expect(slots).toEqual(lowest.map(({ slot }) => slot).sort((a, b) => a - b));
    });
  });

  it('brings filters for SmolLM2-135M', async () => {
    const inputs = randomInputs(3, { queryHeads: 9, kvHeads: 3, headDim: 64 });
    const { total } = await evict(createReferenceBackend(), qFilters({ filters: 'smollm2-135m-instruct' }), inputs, {
      ...{ layers: 30, layer: 29 },
      budget: { kind: 'tokens', tokens: 10 },
    });
    expect(total).toBe(30);
  });

  it('takes a bare name that it does not bring along for a file', async () => {
    const evicted = evict(createReferenceBackend(), qFilters({ filters: 'p.txt' }), randomInputs(1), {
      budget: { kind: 'tokens', tokens: 16 },
    });
    await expect(evicted).rejects.toThrow(expect.objectContaining({ details: expect.objectContaining({ path: 'p.txt' }) }));
  });

  it('refuses filters of another model', async () => {
    const other = filtersFile('other.safetensors', [1, 3, 8], () => 1);
    const evicted = evict(createReferenceBackend(), qFilters({ filters: other }), randomInputs(1), {
      budget: { kind: 'tokens', tokens: 8 },
    });
    await expect(evicted).rejects.toThrow(/filters are \[1, 3, 8\], this model needs \[1, 2, 8\]/);
  });
});

describe('calibration', () => {
  it('finds the main direction, whatever its sign in the data', () => {
    const { queries } = randomInputs(4, { length: 200, scale: 0.1 });
    const direction = Float32Array.of(0.6, 0, 0, 0.8, 0, 0, 0, 0);
    const rows = queries.slice(0, 200 * 8).map((value, index) => value + 3 * (direction[index % 8] ?? 0));
    const found = mainDirection(rows, 8);
    expect(found.reduce((sum, value, channel) => sum + value * (direction[channel] ?? 0), 0)).toBeGreaterThan(0.99);
    const mirrored = mainDirection(
      rows.map((value) => -value),
      8,
    );
    expect(mirrored.reduce((sum, value, channel) => sum + value * (direction[channel] ?? 0), 0)).toBeLessThan(-0.99);
  });

  it('gives a filter that most queries point against', () => {
    const { queries } = randomInputs(5, { length: 100 });
    const rows = queries.slice(0, 800).map((value, index) => value + (index % 8 === 2 ? 4 : 0));
    const filter = filterOf([rows], 8);
    const against = Array.from({ length: 100 }, (_, row) =>
      filter.reduce((sum, value, channel) => sum - value * (rows[row * 8 + channel] ?? 0), 0),
    );
    expect(against.filter((product) => product >= 0).length).toBeGreaterThanOrEqual(50);
  });
});
