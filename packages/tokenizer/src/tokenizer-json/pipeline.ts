import { Tokenizer as Library } from '@huggingface/tokenizers';
import { KvsiftError } from '@kvsift/tensor';
import type { TokenizerParts } from '../assemble.js';
import type { AddedToken } from '../text/added-tokens.js';
import { byteLevelText } from '../text/token-bytes.js';
import { wordMemory } from '../text/word-memory.js';
import { tokenCoding } from './decoder.js';
import { correctNormalizer } from './normalizer.js';
import { surroundings } from './post-processor.js';
import { correctPreTokenizer, isolate, withoutBytes } from './pre-tokenizer.js';
import { type Component, checkTokenizerJson, invalid, type TokenizerJson } from './schema.js';

/** What a tokenizer.json says; the special ids come from other files. */
export type JsonParts = Omit<TokenizerParts, 'bosId' | 'eosIds' | 'chatTemplate'>;

/**
 * Runs normalizer, pre-tokenizer and model of a tokenizer.json through @huggingface/tokenizers. Added tokens, ids around the text and decoding are
 * ours: the library cannot take special tokens as text, joins tokens by their text, and decodes only whole lists.
 * @throws KvsiftError `tokenizer_invalid`
 */
export function readTokenizerJson(value: unknown, path: string): JsonParts {
  try {
    return readParts(value, path);
  } catch (error) {
    // The library throws plain errors, and components nested without end exhaust the stack.
    if (error instanceof KvsiftError) throw error;
    throw invalid(path, `normalizer, pre_tokenizer or model: ${error instanceof Error ? error.message : String(error)}`, error);
  }
}

function readParts(value: unknown, path: string): JsonParts {
  const { json, tokens } = checkTokenizerJson(value, path);
  const preTokenizing = json.pre_tokenizer ? correctPreTokenizer(json.pre_tokenizer, path) : wordCutter(json, tokens);
  const { cutting, bytes } = preTokenizing === null ? { cutting: null, bytes: false } : withoutBytes(preTokenizing);
  const library = createLibrary(json, cutting, path);
  const { normalizer, pre_tokenizer: preTokenizer, model } = library;
  if (!model) throw invalid(path, 'model: expected one');
  const normalize = (text: string) => normalizer?.normalize(text) ?? text;
  const added = json.added_tokens.map((token): AddedToken => {
    const special = token.special ?? false;
    const normalized = token.normalized ?? !special;
    return {
      id: token.id,
      content: token.content,
      match: normalized ? normalize(token.content) : token.content,
      stage: normalized ? 'normalized' : 'raw',
      special,
      lstrip: token.lstrip ?? false,
      rstrip: token.rstrip ?? false,
      singleWord: token.single_word ?? false,
    };
  });
  // One by one: the Rust library fuses unknown characters within a piece, never across; and the cache of this one can take 20 µs a look.
  const encodePiece = wordMemory((piece) =>
    model
      ._call([bytes ? byteLevelText(piece) : piece])
      .flatMap((token: string) => model.tokens_to_ids.get(token) ?? model.unk_token_id ?? []),
  );
  return {
    tokens,
    added,
    normalize,
    coding: tokenCoding(json.decoder, path),
    ...surroundings(json.post_processor, path),
    encodePlain(text, section, ids) {
      const pieces = preTokenizer ? preTokenizer.pre_tokenize(text, { section_index: section }) : [text];
      for (const piece of pieces) encodePiece(piece, ids);
    },
  };
}

function createLibrary(json: TokenizerJson, preTokenizer: Component | null, path: string): Library {
  const corrected = {
    ...json,
    normalizer: json.normalizer ? correctNormalizer(json.normalizer, path) : null,
    pre_tokenizer: preTokenizer,
    post_processor: null,
    decoder: null,
    added_tokens: [],
  };
  return new Library(corrected, {});
}

/**
 * Sentencepiece conversions have no pre-tokenizer, so that a whole text is one word of a merge queue. Where no token has a ▁ behind another
 * character, no merge crosses the start of a word, and cutting there changes nothing but the time.
 */
function wordCutter(json: TokenizerJson, tokens: readonly (string | undefined)[]) {
  if (json.model.type !== 'BPE') return null;
  return tokens.some((token) => token !== undefined && /[^▁]▁/u.test(token)) ? null : isolate('▁*[^▁]+|▁+');
}
