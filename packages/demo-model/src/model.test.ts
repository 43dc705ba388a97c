import { readFileSync, statSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import { Tokenizer } from '@huggingface/tokenizers';
import { expect, test } from 'vitest';
import { demoModelPath, estimateTokens, factDocument, unseenDemoKeys } from './index.js';

const folder = demoModelPath();
const json = (name: string) => JSON.parse(readFileSync(join(folder, name), 'utf8'));
const tokenizer = new Tokenizer(json('tokenizer.json'), json('tokenizer_config.json'));
const encode = (text: string): number[] => tokenizer.encode(text).ids;

test('the folder holds a small Llama with tied embeddings in bfloat16', () => {
  expect(isAbsolute(folder)).toBe(true);
  expect(json('config.json')).toMatchObject({
    architectures: ['LlamaForCausalLM'],
    tie_word_embeddings: true,
    rope_theta: 500000,
  });
  const names = ['config.json', 'generation_config.json', 'model.safetensors', 'tokenizer.json', 'tokenizer_config.json'];
  const bytes = names.reduce((sum, name) => sum + statSync(join(folder, name)).size, 0);
  expect(bytes).toBeLessThan(8_000_000);
  const file = readFileSync(join(folder, 'model.safetensors'));
  const header = JSON.parse(file.subarray(8, 8 + Number(file.readBigUInt64LE(0))).toString('utf8'));
  delete header.__metadata__;
  const tensors = Object.values<{ dtype: string; shape: number[] }>(header);
  expect(new Set(tensors.map((tensor) => tensor.dtype))).toEqual(new Set(['BF16']));
  expect(tensors.reduce((sum, tensor) => sum + tensor.shape.reduce((a, b) => a * b, 1), 0)).toBeLessThan(4_000_000);
});

test('the tokenizer puts the begin token first and gives text back', () => {
  const text = 'The code for kubernetes is 48213.\n\nHere we go: 7 + 1 = 8, naïve 日本 😀';
  const ids = encode(text);
  expect(ids[0]).toBe(0);
  expect(ids.slice(1)).not.toContain(0);
  expect(tokenizer.decode(ids, { skip_special_tokens: true })).toBe(text);
});

test('each digit is one token, so that a value of five digits is five tokens', () => {
  expect(encode(' 48213').length).toBe(1 + 5);
});

test('context and question tokenise apart as they do together', () => {
  for (let seed = 0; seed < 20; seed++) {
    const { context, question } = factDocument({ tokens: 300, facts: 4, digits: 5, seed });
    expect([...encode(context), ...encode(question).slice(1)]).toEqual(encode(context + question));
  }
});

test('with the real counter a document fits closely; the estimate is seldom too low', () => {
  const countTokens = (text: string): number => encode(text).length;
  for (let seed = 0; seed < 10; seed++) {
    const { context, question } = factDocument({ tokens: 1024, facts: 16, digits: 5, seed, countTokens });
    const used = countTokens(context + question);
    expect(used).toBeLessThanOrEqual(1024);
    expect(used).toBeGreaterThan(1004);
    expect(estimateTokens(context + question)).toBeGreaterThan(used - 8);
    expect(estimateTokens(context + question)).toBeLessThan(used + 120);
  }
  const rare = factDocument({ tokens: 1024, facts: 16, digits: 5, seed: 1, keys: unseenDemoKeys });
  expect(countTokens(rare.context + rare.question)).toBeLessThanOrEqual(1024);
});
