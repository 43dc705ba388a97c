import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { refusal, temporaryFolders, write } from '../files/temporary-folder.test.fixture.js';
import { openWeights } from '../open.js';
import { f32Entry, safetensors } from './safetensors-bytes.test.fixture.js';

const folder = temporaryFolders();
const put = (bytes: Uint8Array) => write(join(folder(), 'model.safetensors'), bytes);

describe('valid files', () => {
  it('gives place and values at any byte offset', async () => {
    const header = {
      __metadata__: { format: 'pt' },
      b: f32Entry([2, 2], 8),
      a: f32Entry([2], 0),
      none: f32Entry([0, 3], 24),
      one: f32Entry([], 24),
    };
    const path = put(safetensors(header, 28));
    const file = await openWeights(path);
    expect(file.metadata.get('format')).toBe('pt');
    const all = readFileSync(path);
    for (const tensor of file.tensors.values()) {
      const bytes = all.subarray(tensor.byteOffset, tensor.byteOffset + tensor.byteLength);
      expect(await file.readBytes(tensor)).toEqual(new Uint8Array(bytes));
      expect([...(await file.readFloat32(tensor))]).toEqual(
        Array.from({ length: bytes.length / 4 }, (_, i) => bytes.readFloatLE(4 * i)),
      );
    }
    expect(file.tensor('b').shape).toEqual([2, 2]);
    expect(file.tensor('one')).toMatchObject({ shape: [], byteLength: 4 });
  });

  it('widens every element type exactly', async () => {
    const data = [0x00, 0x3c, 0x01, 0x80, 0x80, 0x3f, 0xff, 0x7f];
    const expected = {
      F16: [1, -(2 ** -24), 1.875, Number.NaN],
      BF16: [2 ** -7, -(2 ** -133), 1, Number.NaN],
      U8: data,
      I32: [-2147402752, 2147434368],
    };
    for (const [dtype, values] of Object.entries(expected)) {
      const bytes = safetensors({ t: { dtype, shape: [values.length], data_offsets: [0, 8] } }, 8);
      bytes.set(data, bytes.length - 8);
      const file = await openWeights(put(bytes));
      expect([...(await file.readFloat32(file.tensor('t')))]).toEqual(values);
    }
  });

  it('keeps tensors of other types apart', async () => {
    const header = {
      ids: { dtype: 'I64', shape: [1], data_offsets: [0, 8] },
      packed: { dtype: 'F4', shape: [3, 2], data_offsets: [8, 11] },
    };
    const file = await openWeights(put(safetensors(header, 11)));
    expect([...file.unsupported]).toEqual([
      ['ids', 'I64'],
      ['packed', 'F4'],
    ]);
    expect(() => file.tensor('ids')).toThrow(/element type I64/);
  });

  it('takes names that JavaScript objects treat specially', async () => {
    const file = await openWeights(put(safetensors('{"__proto__":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}', 4)));
    expect(file.tensor('__proto__').byteLength).toBe(4);
  });
});

describe('refusals', () => {
  it('a GGUF file under another name', async () => {
    const gguf = new TextEncoder().encode('GGUF\u0003\0\0\0 and more');
    expect((await refusal(openWeights(put(gguf)))).message).toMatch(/this is a GGUF file: let its name end with .gguf/);
  });

  const cases: Record<string, [unknown, number, RegExp]> = {
    'a hole between tensors': [{ a: f32Entry([1], 0), b: f32Entry([1], 8) }, 12, /tensor "b": expected to start at byte/],
    'a hole before the first': [{ a: f32Entry([1], 4) }, 8, /tensor "a": expected to start/],
    'bytes behind the last': [{ a: f32Entry([1], 0) }, 8, /tensors end at byte/],
    'a list as header': ['[]', 0, /begins with {/],
    'a header that begins with a space': [' {}', 0, /begins with {/],
    'a negative size': [{ a: { dtype: 'F32', shape: [-1], data_offsets: [0, 4] } }, 4, /tensor "a": shape/],
    'half a size': [{ a: { dtype: 'F32', shape: [0.5], data_offsets: [0, 2] } }, 2, /tensor "a": shape/],
    'sizes whose product overflows': [
      { a: { dtype: 'U8', shape: [2 ** 52, 2 ** 52], data_offsets: [0, 0] } },
      0,
      /more bytes than a file can have/,
    ],
    'one offset': [{ a: { dtype: 'F32', shape: [1], data_offsets: [0] } }, 4, /data_offsets/],
    'half a byte': [{ a: { dtype: 'F4', shape: [3], data_offsets: [0, 1] } }, 1, /needs 1.5 bytes/],
    'metadata that are not text': [{ __metadata__: { format: 1 } }, 0, /__metadata__/],
    'a repeated key inside an entry': [
      '{"a":{"dtype":"F32","dtype":"F16","shape":[1],"data_offsets":[0,4]}}',
      4,
      /"a.dtype" twice/,
    ],
  };
  it.each(Object.entries(cases))('%s', async (_, [header, bytes, message]) => {
    const error = await refusal(openWeights(put(safetensors(header, bytes))));
    expect(error.code).toBe('file_malformed');
    expect(error.message).toMatch(message);
  });

  it('says when a file shrank after it was opened', async () => {
    const path = put(safetensors({ a: f32Entry([2], 0) }, 8));
    const file = await openWeights(path);
    write(path, readFileSync(path).subarray(0, -4));
    expect((await refusal(file.readBytes(file.tensor('a')))).code).toBe('file_malformed');
  });
});

describe('damaged files', () => {
  const valid = safetensors(
    { __metadata__: { a: 'b' }, first: f32Entry([2, 3], 0), second: { dtype: 'BF16', shape: [4], data_offsets: [24, 32] } },
    32,
  );

  it('load or are refused', async () => {
    const flips = fc.array(fc.tuple(fc.nat(valid.length - 1), fc.integer({ min: 1, max: 255 })), { maxLength: 3 });
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: valid.length }), flips, async (length, changes) => {
        const bytes = valid.slice(0, length);
        for (const [at, bits] of changes) if (at < length) bytes[at] = (bytes[at] ?? 0) ^ bits;
        const path = put(bytes);
        await openWeights(path).catch(async (error: unknown) => {
          expect((await refusal(Promise.reject(error))).message).toContain(path);
        });
      }),
      { numRuns: 500 },
    );
  });

  it('a cut anywhere is refused', async () => {
    for (let length = 0; length < valid.length; length++) {
      expect((await refusal(openWeights(put(valid.slice(0, length))))).code).toBe('file_malformed');
    }
  });
});
