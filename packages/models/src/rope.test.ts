import { existsSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { openWeights, readModelConfig } from '@kvsift/weights';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { configFromHuggingFace } from './huggingface.js';
import { ropeTable } from './rope.js';

const shared = fileURLToPath(new URL('../../../../shared/', import.meta.url));
const models = `${shared}models/tiny`;

describe.skipIf(!existsSync(models))('rope tables of the golden models (skipped without ../shared)', () => {
  for (const name of existsSync(models) ? readdirSync(models) : []) {
    it(name, async () => {
      const { config: json } = await readModelConfig(`${models}/${name}`);
      const config = configFromHuggingFace(json, name);
      const golden = await openWeights(`${shared}golden/forward/tiny/${name}.safetensors`);
      const length = golden.tensor('input_ids').shape[0] ?? 0;
      const kinds = [...golden.tensors.keys()].filter((key) => key.startsWith('inv_freq'));
      expect(kinds.length).toBeGreaterThan(0);
      for (const kind of kinds) {
        const layer = config.layers.find(
          ({ window }) => kind === 'inv_freq' || (window !== undefined) === kind.includes('sliding'),
        );
        if (layer === undefined) throw new Error(`no layer for ${kind}`);
        const expected = await golden.readFloat32(golden.tensor(kind));
        const { inverseFrequencies } = ropeTable(layer.rope, length);
        expect(inverseFrequencies.length).toBe(expected.length);
        expected.forEach((value, index) => {
          expect(Math.abs((inverseFrequencies[index] ?? 0) / value - 1)).toBeLessThan(1e-6);
        });
      }
    });
  }
});

describe('ropeTable', () => {
  const rope = { theta: 10000, dimensions: 16 };

  it('starts at one radian per position and falls', () => {
    fc.assert(
      fc.property(fc.double({ min: 100, max: 1e7, noNaN: true }), fc.integer({ min: 1, max: 64 }), (theta, half) => {
        const { inverseFrequencies } = ropeTable({ theta, dimensions: 2 * half, scaling: { type: 'default' } }, 10);
        expect(inverseFrequencies[0]).toBe(1);
        for (let c = 1; c < half; c++) expect(inverseFrequencies[c]).toBeLessThan(inverseFrequencies[c - 1] ?? 0);
      }),
    );
  });

  it('leaves dynamic scaling alone up to the original length', () => {
    const scaling = { type: 'dynamic', factor: 2, originalLength: 100 } as const;
    const plain = ropeTable({ ...rope, scaling: { type: 'default' } }, 100);
    expect(ropeTable({ ...rope, scaling }, 100)).toEqual(plain);
    const stretched = ropeTable({ ...rope, scaling }, 200).inverseFrequencies;
    expect(stretched[7]).toBeLessThan(plain.inverseFrequencies[7] ?? 0);
  });

  it('divides by the factors of a GGUF', () => {
    const factors = Array.from({ length: 8 }, (_, index) => index + 1);
    const { inverseFrequencies } = ropeTable({ ...rope, scaling: { type: 'factors', factors } }, 1);
    expect(inverseFrequencies[3]).toBeCloseTo(10000 ** (-6 / 16) / 4, 9);
  });
});
