import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { KvsiftError } from '@kvsift/tensor';
import type { MetadataValue } from '@kvsift/weights';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { anyCharacter, goldenLines, rustGoldens } from '../golden-lines.test.fixture.js';
import { loadTokenizer } from '../load.js';
import { tokenizerFromGguf } from './load.js';

function fromKeys(keys: Record<string, MetadataValue>) {
  const entries = Object.entries(keys).map(([key, value]): [string, MetadataValue] => [`tokenizer.ggml.${key}`, value]);
  return tokenizerFromGguf({ files: [], metadata: new Map(entries) });
}

function tokensOf(model: Record<string, unknown>): string[] {
  const entries = Object.entries(model.vocab as Record<string, number>);
  return entries.sort(([, a], [, b]) => a - b).map(([token]) => token);
}

describe('pre-tokenizers agree with the patterns of the published tokenizer.json', () => {
  const { model, goldens } = rustGoldens('pre-tokenizers');
  const merges = (model.merges as [string, string][]).map((pair) => pair.join(' '));
  it.each(goldens.map((golden) => [golden.name, golden] as const))('%s', (pre, { cases }) => {
    const tokenizer = fromKeys({ model: 'gpt2', pre, tokens: tokensOf(model), merges });
    for (const [text, ids, , decoded] of cases) {
      expect([...tokenizer.encode(text, { addSpecial: false })], JSON.stringify(text)).toEqual(ids);
      expect(tokenizer.decode(ids)).toBe(decoded);
    }
  });
});

interface SentencePieceGolden {
  readonly name: string;
  readonly prefix: boolean;
  readonly vocabulary: readonly [token: string, score: number, type: number][];
  readonly cases: readonly [text: string, ids: number[], decoded: string][];
}
const sentencepieces = goldenLines<SentencePieceGolden>('sentencepiece');

function fromPieces({ vocabulary, prefix }: SentencePieceGolden) {
  return fromKeys({
    model: 'llama',
    tokens: vocabulary.map(([token]) => token),
    scores: vocabulary.map(([, score]) => score),
    token_type: vocabulary.map(([, , type]) => type),
    add_space_prefix: prefix,
  });
}

describe('agrees with sentencepiece', () => {
  it.each(sentencepieces.map((golden) => [golden.name, golden] as const))('%s', (_, golden) => {
    const tokenizer = fromPieces(golden);
    for (const [text, ids, decoded] of golden.cases) {
      expect([...tokenizer.encode(text, { addSpecial: false, parseSpecial: false })], JSON.stringify(text)).toEqual(ids);
      expect(tokenizer.decode(ids)).toBe(decoded);
    }
  });
});

describe('properties', () => {
  const [plain] = sentencepieces;
  if (!plain) throw new Error('no golden');
  const tokenizer = fromPieces(plain);

  it('a text comes back, and its pieces are whole characters', () => {
    fc.assert(
      fc.property(fc.string({ unit: anyCharacter }), (text) => {
        const ids = tokenizer.encode(text, { parseSpecial: false, addSpecial: false });
        const expected = text.replaceAll('▁', ' ');
        expect(tokenizer.decode(ids)).toBe(expected);
        const stream = tokenizer.stream();
        const pieces = Array.from(ids, (id) => stream.push(id));
        expect(pieces.join('')).toBe(expected);
        for (const piece of pieces) expect(piece).not.toContain('\ufffd');
        expect(stream.end()).toBe('');
      }),
      { numRuns: 300 },
    );
  });

  it('cutting at words changes no ids', () => {
    const [token, score, type] = ['a▁▁▁▁▁▁▁▁b', -1e9, 1] as const;
    const whole = fromPieces({ ...plain, vocabulary: [...plain.vocabulary, [token, score, type]] });
    fc.assert(
      fc.property(fc.array(fc.constantFrom('a', ' ', 'the', 'é', '\n', ' li', 'cense')), (parts) => {
        const text = parts.join('');
        expect(whole.encode(text)).toEqual(tokenizer.encode(text));
      }),
    );
  });
});

describe('special tokens', () => {
  const keys = {
    model: 'gpt2',
    pre: 'gpt-2',
    tokens: ['a', 'b', 'Ġ', '<end>', '<im>', '<|eot_id|>'],
    token_type: [1, 1, 1, 3, 4, 3],
    merges: [],
    bos_token_id: 4,
    eos_token_id: 3,
  };

  it('parses control and user-defined tokens as llama.cpp does', () => {
    const tokenizer = fromKeys(keys);
    expect([...tokenizer.encode('a<end>b<im> ')]).toEqual([0, 3, 1, 4, 2]);
    // Its characters are not in this vocabulary: as text the control token leaves nothing.
    expect([...tokenizer.encode('a<end>b<im> ', { parseSpecial: false })]).toEqual(
      [0, 1, 1, 4, 2].filter((_, i) => i !== 1).toSpliced(1, 0),
    );
    expect(tokenizer.decode([0, 3, 4], { skipSpecial: true })).toBe('a<im>');
  });

  it('adds BOS and EOS where the file asks', () => {
    expect([...fromKeys({ ...keys, add_bos_token: true, add_eos_token: true }).encode('a')]).toEqual([4, 0, 3]);
    expect(fromKeys(keys).addBos).toBe(false);
    expect(fromKeys({ ...keys, pre: 'llama-bpe' }).addBos).toBe(true);
  });

  it('ends at the ids that the file names, and at known ends of a turn', () => {
    expect(fromKeys(keys).eosIds).toEqual([3, 5]);
    expect(fromKeys({ ...keys, eot_token_id: 2 }).eosIds).toEqual([3, 2, 5]);
  });
});

describe('refusals', () => {
  const valid = { model: 'gpt2', pre: 'gpt-2', tokens: ['a', 'b', 'ab'], merges: ['a b'] };
  const cases: Record<string, [Record<string, MetadataValue>, RegExp]> = {
    'an unknown model': [{ model: 'telepathy' }, /tokenizer.ggml.model/],
    'an unknown pre-tokenizer': [{ pre: 'spiral' }, /tokenizer.ggml.pre: expected one of .*qwen2.*, found spiral/],
    'no tokens': [{ tokens: [] }, /tokenizer.ggml.tokens/],
    'tokens that are numbers': [{ tokens: [1] }, /tokenizer.ggml.tokens/],
    'types for other tokens': [{ token_type: [1] }, /token_type: expected 3 values, one per token, found 1/],
    'a merge of unknown tokens': [{ merges: ['a z'] }, /merge 0, found "z"/],
    'a merge of one token': [{ merges: ['ab'] }, /two tokens and a space in merge 0/],
    'a BOS outside the vocabulary': [{ bos_token_id: 3 }, /bos_token_id: expected an id below 3, found 3/],
  };
  it.each(Object.entries(cases))('%s', (_, [change, message]) => {
    expect(() => fromKeys(valid)).not.toThrow();
    let error: unknown;
    try {
      fromKeys({ ...valid, ...change });
    } catch (caught) {
      error = caught;
    }
    expect(error).toBeInstanceOf(KvsiftError);
    expect(error).toMatchObject({ code: 'tokenizer_invalid', message: expect.stringMatching(message) });
  });
});

describe.skipIf(!existsSync('../shared'))('models of ../shared', () => {
  const goldens = '../shared/golden/forward';

  it('SmolLM2: ids, chat texts', async () => {
    const tokenizer = await loadTokenizer('../shared/models/smollm2-135m-instruct-q4_1.gguf');
    expect(tokenizer).toMatchObject({ vocabSize: 49152, bosId: 1, addBos: false });
    for (const { text, ids } of JSON.parse(readFileSync(join(goldens, 'smollm2/tokenizer-cases.json'), 'utf8'))) {
      expect([...tokenizer.encode(text)]).toEqual(ids);
    }
    for (const { messages, add_generation_prompt: addGenerationPrompt, text } of JSON.parse(
      readFileSync(join(goldens, 'smollm2/chat-cases.json'), 'utf8'),
    )) {
      expect(tokenizer.chat(messages, { addGenerationPrompt })).toBe(text);
    }
  });
});
