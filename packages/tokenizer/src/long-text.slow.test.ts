import type { MetadataValue } from '@kvsift/weights';
import { describe, expect, it } from 'vitest';
import { tokenizerFromGguf } from './gguf/load.js';
import { goldenLines, rustGoldens, tokenizerOf } from './golden-lines.test.fixture.js';
import type { Tokenizer } from './tokenizer.js';

const byteLevel = rustGoldens('byte-level');
const [pieces] = goldenLines<{ vocabulary: [string, number, number][] }>('sentencepiece');

async function tokenizers(): Promise<[string, Tokenizer][]> {
  const column = (at: 0 | 1 | 2) => pieces?.vocabulary.map((piece): MetadataValue => piece[at]) ?? [];
  const metadata = new Map<string, MetadataValue>([
    ['tokenizer.ggml.model', 'llama'],
    ['tokenizer.ggml.tokens', column(0)],
    ['tokenizer.ggml.scores', column(1)],
    ['tokenizer.ggml.token_type', column(2)],
  ]);
  const json = { ...byteLevel.goldens[0]?.spec, model: byteLevel.model, post_processor: null, added_tokens: [] };
  return [
    ['byte-level', await tokenizerOf({ 'tokenizer.json': json })],
    ['sentencepiece', tokenizerFromGguf({ files: [], metadata })],
  ];
}

describe('time grows with the text and not with its square', () => {
  it.each([
    ['words', 'the licence of the software '],
    ['one word', 'software'],
    ['spaces', '        '],
    ['lines of spaces', '    \n'],
    ['characters of several bytes', '漢字'],
    ['punctuation', '.,!?'],
  ])('%s', async (_, unit) => {
    for (const [name, tokenizer] of await tokenizers()) {
      const milliseconds = (length: number) => {
        const text = unit.repeat(Math.ceil(length / unit.length));
        const start = performance.now();
        tokenizer.encode(text);
        return performance.now() - start;
      };
      milliseconds(50_000);
      const short = Math.min(milliseconds(100_000), milliseconds(100_000));
      // Sixteen times the text: 16 times where linear, 256 where quadratic.
      expect(Math.min(milliseconds(1_600_000), milliseconds(1_600_000)) / short, name).toBeLessThan(100);
    }
  });
});
