import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createReferenceBackend } from '@kvsift/backend-reference';
import { conformance, evict, randomInputs } from '@kvsift/policy-testkit';
import { afterAll, describe, expect, it } from 'vitest';
import { duoAttention, streamingHeads } from './duo-attention.js';

const folder = mkdtempSync(join(tmpdir(), 'kvsift-duo-'));
afterAll(() => rmSync(folder, { recursive: true }));
const table = join(folder, 'gates.json');
// Equal gates in every layer of the kit's models.
writeFileSync(
  table,
  JSON.stringify({
    importance: [
      [0.5, 0.5],
      [0.5, 0.5],
      [0.5, 0.5],
      [0.5, 0.5],
    ],
  }),
);
const make = () => duoAttention({ table, sparsity: 1, sinks: 4, recent: 8 });

describe('duoAttention', () => {
  for (const { name, run } of conformance({ definition: duoAttention.definition, make }, createReferenceBackend)) it(name, run);

  it('takes no head table for gates', () => {
    const other = join(folder, 'heads.json');
    writeFileSync(other, JSON.stringify({ kind: 'head-table', importance: [[0.5, 0.5]] }));
    expect(() => duoAttention({ table: other })).toThrow(
      /heads.json says that its kind is "head-table", expected gates: kvsift calibrate gates makes one/,
    );
  });

  it('cuts streaming heads to sinks and recent tokens', async () => {
    const { kept } = await evict(createReferenceBackend(), make(), randomInputs(1), {
      budget: { kind: 'tokens', tokens: 1 },
      layers: 4,
    });
    const ends = [0, 1, 2, 3, 56, 57, 58, 59, 60, 61, 62, 63];
    expect(kept).toEqual([ends, ends]);
  });

  it('takes the lowest gates, ties by layer and head', () => {
    expect(
      streamingHeads(
        [
          [0.9, 0.1],
          [0.1, 0.4],
        ],
        0.5,
      ),
    ).toEqual([
      [false, true],
      [true, false],
    ]);
    expect(streamingHeads([[0.9, 0.1]], 0)).toEqual([[false, false]]);
    expect(streamingHeads([[0.9, 0.1]], 1)).toEqual([[true, true]]);
  });

  it('needs its table', () => {
    expect(() => duoAttention()).toThrow(/needs a table of gates/);
  });
});
