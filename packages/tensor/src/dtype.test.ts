import { describe, expect, it } from 'vitest';
import { blockLayout, byteLength, dtypes, isBlockType } from './dtype.js';
import { KvsiftError } from './errors.js';

describe('byteLength', () => {
  it('counts elements and blocks', () => {
    expect(byteLength('f32', [3, 5])).toBe(60);
    expect(byteLength('bf16', [7])).toBe(14);
    expect(byteLength('q4_0', [2, 64])).toBe(2 * 2 * 18);
    expect(byteLength('q6_k', [3, 512])).toBe(3 * 2 * 210);
    expect(byteLength('f32', [])).toBe(4);
    expect(byteLength('q8_0', [0, 32])).toBe(0);
  });

  it('refuses rows of broken blocks', () => {
    expect(() => byteLength('q4_k', [4, 128])).toThrow(KvsiftError);
    expect(() => byteLength('q4_k', [4, 128])).toThrow('a q4_k row holds whole blocks of 256 values, not 128 values');
  });
});

it('block types are those of more than one value', () => {
  for (const dtype of dtypes) expect(isBlockType(dtype)).toBe(blockLayout(dtype).values > 1);
  expect(dtypes.filter(isBlockType)).toHaveLength(12);
});
