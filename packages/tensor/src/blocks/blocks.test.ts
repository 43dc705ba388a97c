import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import type { BlockType } from '../dtype.js';
import { dequantizeBlocks } from './index.js';

const folder = fileURLToPath(new URL('../../../../../shared/golden/forward/quants/', import.meta.url));
const present = existsSync(folder);

/** Tensors of a small safetensors file. */
function readTensors(path: string): Map<string, Uint8Array> {
  const file = readFileSync(path);
  const length = Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.toString('utf8', 8, 8 + length)) as Record<string, { data_offsets?: [number, number] }>;
  return new Map(
    Object.entries(header).flatMap(([name, { data_offsets: at }]) =>
      at ? [[name, new Uint8Array(file.subarray(8 + length + at[0], 8 + length + at[1]))]] : [],
    ),
  );
}

describe.skipIf(!present)('block formats against gguf-py (skipped without ../shared)', () => {
  const types = present
    ? (JSON.parse(readFileSync(`${folder}quants.json`, 'utf8')) as Record<string, { values_per_block: number }>)
    : {};
  const tensors = present ? readTensors(`${folder}quants.safetensors`) : new Map<string, Uint8Array>();

  for (const [name, { values_per_block: block }] of Object.entries(types)) {
    if (block === 1) continue;
    it(name, () => {
      const bytes = tensors.get(`${name}.bytes`) ?? new Uint8Array();
      const expected = new Float32Array((tensors.get(`${name}.values`) ?? new Uint8Array()).slice().buffer);
      const actual = dequantizeBlocks(name.toLowerCase() as BlockType, bytes);
      expect(actual.length).toBe(expected.length);
      for (let at = 0; at < expected.length; at += block) {
        const largest = expected.subarray(at, at + block).reduce((most, value) => Math.max(most, Math.abs(value)), 0);
        for (let index = at; index < at + block; index++) {
          expect(Math.abs((actual[index] ?? 0) - (expected[index] ?? 0))).toBeLessThanOrEqual(2e-6 * largest);
        }
      }
    });
  }
});
