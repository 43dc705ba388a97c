import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { refusal, temporaryFolders, write } from '../files/temporary-folder.test.fixture.js';
import { openWeights } from '../open.js';
import { type Bytes, gguf } from './gguf-bytes.test.fixture.js';
import { ggmlTypes } from './types.js';

const folder = temporaryFolders();
const put = (bytes: Uint8Array) => write(join(folder(), 'model.gguf'), bytes);
const f32 = (name: string, dims: readonly (number | bigint)[], offset: number | bigint) => ({ name, dims, type: 0, offset });

const models = '../shared/models';
const has = (path: string) => statSync(path, { throwIfNoEntry: false }) !== undefined;

describe.skipIf(!has(models))('models of ../shared', () => {
  it.each(has(models) ? readdirSync(models).filter((name) => name.endsWith('.gguf')) : [])('reads %s', async (name) => {
    const file = await openWeights(join(models, name));
    expect(file.format).toBe('gguf');
    expect(file.metadata.get('general.architecture')).toBe('llama');
    const embedding = file.tensor('token_embd.weight');
    // The GGUF says [hidden, vocabulary]; rows come first here.
    expect(embedding.shape).toEqual([file.metadata.get('llama.vocab_size'), file.metadata.get('llama.embedding_length')]);
    expect(file.unsupported.size).toBe(0);
    const layers = file.metadata.get('llama.block_count');
    expect([...file.tensors.keys()].filter((tensor) => tensor.endsWith('attn_q.weight'))).toHaveLength(Number(layers));
    const norm = await file.readFloat32(file.tensor('output_norm.weight'));
    expect(norm.every(Number.isFinite)).toBe(true);
  });
});

describe('values', () => {
  const everyType: ((bytes: Bytes) => Bytes)[] = [
    (b) => b.text('u8').u32(0).u8(255),
    (b) => b.text('i8').u32(1).u8(255),
    (b) => b.text('u16').u32(2).u8(255, 255),
    (b) => b.text('i16').u32(3).u8(255, 255),
    (b) => b.text('u32').u32(4).u32(0xffffffff),
    (b) => b.text('i32').u32(5).u32(0xffffffff),
    (b) => b.text('f32').u32(6).f32(0.5),
    (b) => b.text('bool').u32(7).u8(1),
    (b) => b.text('text').u32(8).text('naïve ▁'),
    (b) => b.text('list').u32(9).u32(8).u64(2).text('a').text(''),
    (b) => b.text('nested').u32(9).u32(9).u64(2).u32(5).u64(1).u32(7).u32(7).u64(0),
    (b) =>
      b
        .text('u64')
        .u32(10)
        .u64(2n ** 63n),
    (b) => b.text('i64').u32(11).u64(-5),
    (b) => b.text('f64').u32(12).f64(0.1),
  ];

  it.each([2, 3])('reads every type of version %i', async (version) => {
    const { metadata } = await openWeights(put(gguf({ version, pairs: everyType })));
    expect(Object.fromEntries(metadata)).toEqual({
      u8: 255,
      i8: -1,
      u16: 65535,
      i16: -1,
      u32: 0xffffffff,
      i32: -1,
      f32: 0.5,
      bool: true,
      text: 'naïve ▁',
      list: ['a', ''],
      nested: [[7], []],
      u64: 2n ** 63n,
      i64: -5,
      f64: 0.1,
    });
  });

  it('reads strings longer than its window', async () => {
    const long = 'é'.repeat(400_001);
    const { metadata } = await openWeights(
      put(gguf({ pairs: [(b) => b.text('long').u32(8).text(long), (b) => b.text('n').u32(0).u8(3)] })),
    );
    expect(metadata.get('long')).toBe(long);
    expect(metadata.get('n')).toBe(3);
  });
});

describe('tensors', () => {
  it('gives place and values, rows first', async () => {
    const file = await openWeights(put(gguf({ tensors: [f32('m', [2, 3], 32), f32('v', [4], 0)], dataBytes: 64 })));
    const matrix = file.tensor('m');
    expect(matrix).toMatchObject({ dtype: 'f32', shape: [3, 2], byteLength: 24 });
    expect(matrix.byteOffset % 32).toBe(0);
    expect([...(await file.readBytes(matrix))]).toEqual(Array.from({ length: 24 }, (_, i) => 32 + i));
    const rows = await file.readFloat32({ ...matrix, rowOrder: Int32Array.of(2, 0) });
    const all = await file.readFloat32(matrix);
    expect([...rows]).toEqual([all[4], all[5], all[0], all[1]]);
  });

  it('knows the size of every type, and names those it cannot compute with', async () => {
    for (const [number, { name, values, bytes, dtype }] of ggmlTypes) {
      const tensors = [{ name: 't', dims: [values, 2], type: number, offset: 0 }];
      const file = await openWeights(put(gguf({ tensors, dataBytes: 2 * bytes })));
      if (dtype) expect(file.tensor('t')).toMatchObject({ dtype, byteLength: 2 * bytes });
      else {
        expect(file.unsupported.get('t')).toBe(name);
        expect(() => file.tensor('t')).toThrow(name);
      }
      expect((await refusal(openWeights(put(gguf({ tensors, dataBytes: 2 * bytes - 1 }))))).code).toBe('file_malformed');
    }
  });

  it('says which tensor is missing', async () => {
    const file = await openWeights(put(gguf({})));
    expect(() => file.tensor('lm_head')).toThrow(/expected a tensor "lm_head" among its 0/);
  });
});

describe('refusals', () => {
  const pair = (b: Bytes) => b.text('k').u32(0).u8(1);
  const cases: Record<string, [Uint8Array, RegExp]> = {
    'version 1': [gguf({ version: 1 }), /version: expected 2 or 3, found 1/],
    'big-endian': [gguf({ version: 0x03000000 }), /big-endian/],
    'a key twice': [gguf({ pairs: [pair, pair] }), /key of metadata pair 1: "k" occurs twice/],
    'a tensor twice': [gguf({ tensors: [f32('t', [1], 0), f32('t', [1], 32)], dataBytes: 64 }), /tensor "t": occurs twice/],
    overlap: [gguf({ tensors: [f32('a', [16], 0), f32('b', [1], 32)], dataBytes: 64 }), /tensor "b" starts .* inside tensor "a"/],
    'a big tensor over small ones': [
      gguf({ tensors: [f32('a', [64], 0), f32('b', [1], 32), f32('c', [1], 128)], dataBytes: 256 }),
      /inside tensor "a"/,
    ],
    'an offset between multiples of the alignment': [
      gguf({ tensors: [f32('t', [1], 4)], dataBytes: 64 }),
      /multiple of the alignment 32, found 4/,
    ],
    'five dimensions': [gguf({ tensors: [f32('t', [1, 1, 1, 1, 1], 0)], dataBytes: 64 }), /at most 4 dimensions, found 5/],
    'sizes whose product overflows': [gguf({ tensors: [f32('t', [2 ** 40, 2 ** 40], 0)], dataBytes: 64 }), /too large/],
    'a size of 2^63': [gguf({ tensors: [f32('t', [2n ** 63n], 0)], dataBytes: 64 }), /too large/],
    'an offset of 2^63': [gguf({ tensors: [f32('t', [1], 2n ** 63n)], dataBytes: 64 }), /offset/],
    'a tensor type that was removed': [
      gguf({ tensors: [{ ...f32('t', [32], 0), type: 4 }], dataBytes: 64 }),
      /type: expected one of .* found 4/,
    ],
    'a bool of 2': [gguf({ pairs: [(b) => b.text('k').u32(7).u8(2)] }), /bool of 0 or 1, found 2/],
    'text that is not UTF-8': [gguf({ pairs: [(b) => b.text('k').u32(8).u64(2).u8(0xc3, 0x28)] }), /k: expected valid UTF-8/],
    'arrays nested too deep': [
      gguf({
        pairs: [
          (b) =>
            Array.from({ length: 8 })
              .reduce<Bytes>((all) => all.u32(9).u64(1), b.text('k').u32(9))
              .u32(0)
              .u64(0),
        ],
      }),
      /nested at most 4 deep/,
    ],
    'an array that claims more than the file': [
      gguf({
        pairs: [
          (b) =>
            b
              .text('k')
              .u32(9)
              .u32(8)
              .u64(2 ** 40),
        ],
      }),
      /count of at most 0/,
    ],
    'an alignment of 24': [gguf({ pairs: [(b) => b.text('general.alignment').u32(4).u32(24)] }), /power of two, found 24/],
    'an alignment that is text': [gguf({ pairs: [(b) => b.text('general.alignment').u32(8).text('32')] }), /expected a uint32/],
    'a part of a split model': [gguf({ pairs: [(b) => b.text('split.count').u32(4).u32(3)] }), /llama-gguf-split/],
  };
  it.each(Object.entries(cases))('%s', async (_, [bytes, message]) => {
    const path = put(bytes);
    const error = await refusal(openWeights(path));
    expect(error.message).toMatch(message);
    expect(error.message).toContain(path);
  });

  it('a file that is not there', async () => {
    expect((await refusal(openWeights(join(folder(), 'model.gguf')))).code).toBe('file_not_found');
  });
});

describe('damaged files', () => {
  const valid = gguf({
    pairs: [
      (b) => b.text('general.architecture').u32(8).text('llama'),
      (b) => b.text('general.alignment').u32(4).u32(64),
      (b) => b.text('tokens').u32(9).u32(8).u64(3).text('a').text('▁b').text('<0x0A>'),
      (b) => b.text('scores').u32(9).u32(6).u64(2).f32(1).f32(-1),
      (b) =>
        b
          .text('big')
          .u32(10)
          .u64(2n ** 60n),
    ],
    tensors: [f32('m', [8, 2], 0), { name: 'q', dims: [32, 2], type: 8, offset: 64 }],
    dataBytes: 192,
    alignment: 64,
  });

  it('load or are refused, and never take more memory than a file of their size may', async () => {
    const peak = process.resourceUsage().maxRSS;
    const flips = fc.array(fc.tuple(fc.nat(valid.length - 1), fc.integer({ min: 1, max: 255 })), { maxLength: 4 });
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: valid.length }), flips, async (length, changes) => {
        const bytes = valid.slice(0, length);
        for (const [at, bits] of changes) if (at < length) bytes[at] = (bytes[at] ?? 0) ^ bits;
        const path = put(bytes);
        try {
          const file = await openWeights(path);
          for (const tensor of file.tensors.values()) expect(tensor.byteOffset + tensor.byteLength).toBeLessThanOrEqual(length);
        } catch (error) {
          expect((await refusal(Promise.reject(error))).message).toContain(path);
        }
      }),
      { numRuns: 500 },
    );
    expect(process.resourceUsage().maxRSS - peak).toBeLessThan(128 * 1024);
  });

  it('a claim in every place of the header is refused before it is believed', async () => {
    for (let at = 8; at < valid.length - 192; at++) {
      const bytes = valid.slice();
      bytes.fill(0xff, at, at + 8);
      await openWeights(put(bytes)).catch((error: unknown) => refusal(Promise.reject(error)));
    }
  });
});
