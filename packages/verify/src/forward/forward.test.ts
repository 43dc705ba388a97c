import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { verify } from '../verify.js';
import { quantDifference } from './quants.js';
import { sameIds, sameText } from './tokenizer-cases.js';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'kvsift-verify-'));
});
afterEach(() => rmSync(root, { recursive: true }));

function put(path: string, contents: unknown): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), typeof contents === 'string' ? contents : JSON.stringify(contents));
}

async function run() {
  const failures: string[] = [];
  const skips: string[] = [];
  const counts = await verify('forward', join(root, 'golden/forward'), {
    onFailure: (line) => failures.push(line),
    onSkip: (line) => skips.push(line),
  });
  return { counts, failures, skips };
}

const byteLevel = { type: 'ByteLevel', add_prefix_space: false, use_regex: true };
const tokenizer = {
  added_tokens: [],
  normalizer: null,
  pre_tokenizer: byteLevel,
  post_processor: null,
  decoder: byteLevel,
  model: { type: 'BPE', vocab: { a: 0, b: 1, ab: 2 }, merges: ['a b'] },
};

describe('tokenizer cases', () => {
  const cases = [{ text: 'aab', ids: [0, 2], ids_specials_as_text: [0, 2], decoded: 'aab', decoded_without_specials: 'aab' }];

  it('finds the model beside the goldens, and passes', async () => {
    put('models/mini/tokenizer.json', tokenizer);
    put('golden/forward/mini/tokenizer-cases.json', cases);
    put('golden/forward/README.md', 'text');
    expect(await run()).toEqual({ counts: { passed: 1, failed: 0, skipped: 0 }, failures: [], skips: [] });
  });

  it('says where the first difference is', async () => {
    put('models/mini/tokenizer.json', tokenizer);
    put('golden/forward/mini/tokenizer-cases.json', [
      { ...cases[0], ids: [0, 1] },
      { ...cases[0], ids_specials_as_text: [0] },
      { ...cases[0], decoded: 'aaa' },
    ]);
    const { counts, failures } = await run();
    expect(counts.failed).toBe(3);
    expect(failures).toEqual([
      'mini/tokenizer-cases.json case 0 "aab": ids: at 1 id 2 instead of 1',
      'mini/tokenizer-cases.json case 1 "aab": ids with specials as text: 2 instead of 1',
      'mini/tokenizer-cases.json case 2 "aab": decoded: at 2 "b" instead of "a"',
    ]);
  });

  it('skips where there is no model, and says so', async () => {
    put('golden/forward/mini/tokenizer-cases.json', cases);
    expect(await run()).toMatchObject({
      counts: { passed: 0, failed: 0, skipped: 1 },
      skips: ['mini/tokenizer-cases.json: no model mini'],
    });
  });

  it('checks a tokenizer.json beside its cases', async () => {
    const golden = {
      bos_prepended_by_default: [],
      special_tokens_parsed_in_text: true,
      cases: [{ text: 'ab', ids: [2], decoded: 'ab' }],
    };
    put('golden/forward/gguf/mini.tokenizer-cases.json', golden);
    put('golden/forward/gguf/mini.tokenizer.json', tokenizer);
    expect((await run()).counts).toEqual({ passed: 1, failed: 0, skipped: 1 });
    put('golden/forward/gguf/mini.tokenizer-cases.json', { ...golden, bos_prepended_by_default: [0] });
    expect((await run()).failures).toEqual([expect.stringMatching(/ids with BOS/)]);
  });
});

describe('chat cases', () => {
  it('compares text and ids', async () => {
    put('models/mini/tokenizer.json', tokenizer);
    put('models/mini/chat_template.jinja', '{{ messages[0].content }}{% if add_generation_prompt %}b{% endif %}');
    const messages = [{ role: 'user', content: 'a' }];
    put('golden/forward/mini/chat-cases.json', [
      { messages, add_generation_prompt: false, text: 'a', ids: [0] },
      { messages, add_generation_prompt: true, text: 'ab', ids: [2] },
      { messages, add_generation_prompt: true, text: 'a', ids: [0] },
      { messages, add_generation_prompt: true, text: 'ab', ids: [0, 1] },
    ]);
    const { counts, failures } = await run();
    expect(counts).toEqual({ passed: 2, failed: 2, skipped: 0 });
    expect(failures[1]).toContain('ids: at 0 id 2 instead of 0');
  });
});

describe('what is not understood', () => {
  it.each([
    ['other/cases.json', []],
    ['mini/tokenizer-cases.json', { not: 'a list' }],
    ['mini/chat-cases.json', [{ messages: 'hi' }]],
    ['quants/quants.safetensors', 'no tensors'],
    ['tiny/model.bin', 'bytes'],
  ])('%s fails', async (path, contents) => {
    put('models/mini/tokenizer.json', tokenizer);
    put(`golden/forward/${path}`, contents);
    const { counts, failures } = await run();
    expect(counts).toEqual({ passed: 0, failed: 1, skipped: 0 });
    expect(failures[0]).toContain(path);
  });
});

describe('comparisons', () => {
  const f32 = (...values: number[]) => Float32Array.from(values);

  it('quants: exact, or relative to the largest of the block', () => {
    expect(quantDifference(f32(1, 2, 3, 4), f32(1, 2, 3, 4), 2, 0, 2)).toBeUndefined();
    expect(quantDifference(f32(1, 2, 3, 4.5), f32(1, 2, 3, 4), 2, 0, 2)).toMatch(/at \[1, 1\]: 4.5 instead of 4/);
    expect(quantDifference(f32(0.001, 1000), f32(0, 1000), 2, 2e-6, 2)).toBeUndefined();
    expect(quantDifference(f32(0.003, 1000), f32(0, 1000), 2, 2e-6, 2)).toMatch(/at \[0, 0\]/);
    expect(quantDifference(f32(0.001, 1000), f32(0, 1000), 2, 2e-6, 1)).toMatch(/at \[0, 0\]/);
    expect(quantDifference(f32(Number.NaN, 1), f32(0, 1), 2, 1, 2)).toMatch(/NaN/);
    expect(quantDifference(f32(1), f32(1, 2), 2, 0, 2)).toBe('1 values instead of 2');
  });

  it('ids and texts of different length', () => {
    expect(sameIds('ids', [1, 2, 3], [1, 2])).toBe('ids: 3 instead of 2');
    expect(sameIds('ids', [1], [1, 2])).toBe('ids: 1 instead of 2');
    expect(sameText('text', 'ab', 'ab')).toBeUndefined();
    expect(sameText('text', 'ab', 'abc')).toBe('text: at 2 "" instead of "c"');
  });
});
