import { type JsonParts, readTokenizerJson } from '../tokenizer-json/pipeline.js';
import { byteLevelOnly, isolate } from '../tokenizer-json/pre-tokenizer.js';
import { invalid } from '../tokenizer-json/schema.js';
import { type PreTokenizerRule, preTokenizerRules } from './pre-tokenizers.js';
import { type GgufVocabulary, tokenTypes } from './vocabulary.js';

/** The rule of this vocabulary's pre-tokenizer. @throws KvsiftError `tokenizer_invalid` where kvsift does not know it */
export function preTokenizerRule({ pre, path }: GgufVocabulary): PreTokenizerRule {
  const rule = preTokenizerRules.get(pre);
  if (rule) return rule;
  throw invalid(
    path,
    `tokenizer.ggml.pre: expected one of ${[...preTokenizerRules.keys()].join(', ')}, found ${pre.slice(0, 40)}`,
  );
}

/** A GPT-2 style vocabulary as the tokenizer.json that stands for it. */
export function bytePairParts(vocabulary: GgufVocabulary): JsonParts {
  const { tokens, types, path } = vocabulary;
  const rule = preTokenizerRule(vocabulary);
  const added = tokens.flatMap((content, id) => {
    const special = types[id] === tokenTypes.control || types[id] === tokenTypes.unknown;
    return (special || types[id] === tokenTypes.userDefined) && content !== ''
      ? [{ id, content, special, normalized: false }]
      : [];
  });
  const special = new Set(added.filter((token) => token.special).map(({ id }) => id));
  const vocab = new Map<string, number>();
  tokens.forEach((token, id) => {
    // A vocabulary padded with one text repeated: the first id is the one that text gets.
    if (!special.has(id) && !vocab.has(token)) vocab.set(token, id);
  });
  const merges = vocabulary.merges.map((merge, i) => {
    const space = merge.indexOf(' ', 1);
    if (space < 0)
      throw invalid(path, `tokenizer.ggml.merges: expected two tokens and a space in merge ${i}, found "${merge.slice(0, 80)}"`);
    return [merge.slice(0, space), merge.slice(space + 1)];
  });
  const json = {
    added_tokens: added,
    pre_tokenizer: { type: 'Sequence', pretokenizers: [...rule.patterns.map(isolate), byteLevelOnly] },
    decoder: { type: 'ByteLevel' },
    model: { type: 'BPE', ignore_merges: rule.ignoreMerges ?? false, vocab: Object.fromEntries(vocab), merges },
  };
  return { ...readTokenizerJson(json, path), tokens };
}
