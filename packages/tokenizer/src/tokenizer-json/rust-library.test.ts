import { describe, expect, it } from 'vitest';
import { rustGoldens, tokenizerOf } from '../golden-lines.test.fixture.js';

describe.each(['byte-level', 'metaspace'])('%s vocabularies agree with the Rust library', (file) => {
  const { model, goldens } = rustGoldens(file);
  it.each(goldens.map((golden) => [golden.name, golden] as const))('%s', async (_, { spec, cases }) => {
    const tokenizer = await tokenizerOf({ 'tokenizer.json': { added_tokens: [], post_processor: null, model, ...spec } });
    for (const [text, ids, plain, decoded, withoutSpecial] of cases) {
      const ours = {
        ids: [...tokenizer.encode(text, { addSpecial: false })],
        plain: [...tokenizer.encode(text, { addSpecial: false, parseSpecial: false })],
        decoded: tokenizer.decode(ids),
        withoutSpecial: tokenizer.decode(ids, { skipSpecial: true }),
      };
      expect(ours, JSON.stringify(text)).toEqual({ ids, plain, decoded, withoutSpecial });
    }
  });
});
