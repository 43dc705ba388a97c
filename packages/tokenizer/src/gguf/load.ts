import type { WeightContents } from '@kvsift/weights';
import { assembleTokenizer, type TokenizerParts } from '../assemble.js';
import type { Tokenizer } from '../tokenizer.js';
import { bytePairParts, preTokenizerRule } from './byte-pairs.js';
import { sentencePieceEncoder } from './sentencepiece.js';
import { type GgufVocabulary, readVocabulary, tokenTypes } from './vocabulary.js';

/** Control tokens that end a turn in the chat formats of published models; GGUFs often name only one of them. */
const endOfTurn = ['<|eot_id|>', '<|im_end|>', '<|end|>', '<end_of_turn>', '<|eom_id|>', '<|endoftext|>', '<|end_of_text|>'];

/**
 * The tokenizer inside a GGUF: GPT-2 style byte pairs or sentencepiece.
 * @throws KvsiftError `tokenizer_invalid`
 */
export function tokenizerFromGguf(file: Pick<WeightContents, 'files' | 'metadata'>): Tokenizer {
  const vocabulary = readVocabulary(file);
  return vocabulary.model === 'gpt2' ? bytePairTokenizer(vocabulary) : sentencePieceTokenizer(vocabulary);
}

function bytePairTokenizer(vocabulary: GgufVocabulary): Tokenizer {
  const addBos = vocabulary.addBos ?? preTokenizerRule(vocabulary).addBos ?? false;
  return assembleTokenizer({ ...bytePairParts(vocabulary), ...specials(vocabulary, addBos) });
}

function sentencePieceTokenizer(given: GgufVocabulary): Tokenizer {
  const { tokens, types } = given;
  // Ids that llama.cpp assumes where a file names none.
  const vocabulary = { ...given, bosId: given.bosId ?? 1, eosId: given.eosId ?? 2, unknownId: given.unknownId ?? 0 };
  const encode = sentencePieceEncoder(vocabulary);
  const added = tokens.flatMap((content, id) => {
    const special = types[id] === tokenTypes.control || types[id] === tokenTypes.unknown;
    if (content === '' || !(special || types[id] === tokenTypes.userDefined)) return [];
    const plain = { lstrip: false, rstrip: false, singleWord: false };
    return [{ id, content, match: content, stage: special ? ('raw' as const) : ('normalized' as const), special, ...plain }];
  });
  const prefix = vocabulary.addSpacePrefix ? '▁' : '';
  return assembleTokenizer({
    tokens,
    added,
    normalize: (text) => prefix + text.replaceAll(' ', '▁'),
    encodePlain: (text, _section, ids) => encode(text, ids),
    coding: {
      kind: 'pieces',
      replacements: [['▁', ' ']],
      byteFallback: true,
      leadingSpaces: vocabulary.addSpacePrefix ? 1 : 0,
    },
    ...specials(vocabulary, vocabulary.addBos ?? true),
  });
}

function specials(
  vocabulary: GgufVocabulary,
  addBos: boolean,
): Pick<TokenizerParts, 'prefix' | 'suffix' | 'bosId' | 'eosIds' | 'chatTemplate'> {
  const { tokens, types, bosId, eosId, endIds, chatTemplate } = vocabulary;
  const known = endOfTurn.map((text) => tokens.indexOf(text)).filter((id) => types[id] === tokenTypes.control);
  return {
    prefix: addBos && bosId !== undefined ? [bosId] : [],
    suffix: vocabulary.addEos && eosId !== undefined ? [eosId] : [],
    bosId,
    eosIds: [...new Set([...(eosId === undefined ? [] : [eosId]), ...endIds, ...known])],
    chatTemplate,
  };
}
