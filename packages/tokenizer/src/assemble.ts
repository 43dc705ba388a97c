import { KvsiftError } from '@kvsift/tensor';
import { applyChatTemplate } from './chat.js';
import { type AddedToken, addedTokenSplitter } from './text/added-tokens.js';
import { type TokenCoding, tokenBytes } from './text/token-bytes.js';
import { tokenStream } from './text/token-stream.js';
import type { Tokenizer } from './tokenizer.js';

/** What the readers of tokenizer.json and GGUF hand over. */
export interface TokenizerParts {
  /** Token of each id. */
  readonly tokens: readonly (string | undefined)[];
  readonly added: readonly AddedToken[];
  readonly normalize: (text: string) => string;
  /** Appends the ids of normalized text without added tokens. `section` counts the stretches between added tokens. */
  readonly encodePlain: (text: string, section: number, ids: number[]) => void;
  readonly coding: TokenCoding;
  /** Ids around a text. */
  readonly prefix: readonly number[];
  readonly suffix: readonly number[];
  readonly bosId: number | undefined;
  readonly eosIds: readonly number[];
  readonly chatTemplate: string | undefined;
}

/** One tokenizer from its parts: what both file formats share. */
export function assembleTokenizer(parts: TokenizerParts): Tokenizer {
  const { tokens, added, coding, bosId } = parts;
  const ids = new Map<string, number>();
  tokens.forEach((token, id) => {
    if (token !== undefined && !ids.has(token)) ids.set(token, id);
  });
  const addedById = new Map(added.map((token) => [token.id, token]));
  const specialIds = new Set(added.filter(({ special }) => special).map(({ id }) => id));
  const splitters = (kept: readonly AddedToken[]) => ({
    raw: addedTokenSplitter(kept.filter(({ stage }) => stage === 'raw')),
    normalized: addedTokenSplitter(kept.filter(({ stage }) => stage === 'normalized')),
  });
  const parsing = splitters(added);
  const literal = splitters(added.filter(({ special }) => !special));

  const known: Uint8Array[] = [];
  const bytesOf = (id: number): Uint8Array | undefined => {
    const token = tokens[id];
    if (token === undefined) return undefined;
    // Added tokens of a byte-level vocabulary are plain text, not byte characters.
    const plain = coding.kind === 'byte-level' ? addedById.get(id)?.content : undefined;
    known[id] ??= plain === undefined ? tokenBytes(coding, token) : new TextEncoder().encode(plain);
    return known[id];
  };
  const bytesOfText = (id: number) => (specialIds.has(id) ? undefined : bytesOf(id));

  const tokenizer: Tokenizer = {
    vocabSize: tokens.length,
    ...(bosId !== undefined && { bosId }),
    ...(parts.chatTemplate !== undefined && { chatTemplate: parts.chatTemplate }),
    eosIds: parts.eosIds,
    addBos: bosId !== undefined && parts.prefix.includes(bosId),
    specialIds,
    encode(text, { addSpecial = true, parseSpecial = true } = {}) {
      const split = parseSpecial ? parsing : literal;
      const out: number[] = addSpecial ? [...parts.prefix] : [];
      split.raw(wellFormed(text)).forEach((section, i) => {
        const inners = typeof section === 'number' ? [section] : split.normalized(parts.normalize(section));
        for (const inner of inners) {
          if (typeof inner === 'number') out.push(inner);
          else parts.encodePlain(inner, i, out);
        }
      });
      if (addSpecial) out.push(...parts.suffix);
      return Int32Array.from(out);
    },
    decode(list, options) {
      const stream = tokenizer.stream(options);
      let text = '';
      for (let i = 0; i < list.length; i++) text += stream.push(list[i] ?? -1);
      return text + stream.end();
    },
    tokenText(id) {
      const token = tokens[id];
      if (token !== undefined) return token;
      throw new KvsiftError('invalid_argument', `token id: expected one of the ${tokens.length} of the vocabulary, found ${id}`, {
        id,
      });
    },
    idOf: (token) => ids.get(token),
    stream: ({ skipSpecial = false, continues = false } = {}) =>
      tokenStream(skipSpecial ? bytesOfText : bytesOf, coding.kind === 'pieces' && !continues ? coding.leadingSpaces : 0),
    chat(messages, options = {}) {
      if (parts.chatTemplate === undefined) {
        throw new KvsiftError(
          'template_invalid',
          'chat template: expected one with the model, found none; give the prompt as plain text',
        );
      }
      const eosId = parts.eosIds[0];
      const bosToken = bosId === undefined ? '' : (tokens[bosId] ?? '');
      const eosToken = eosId === undefined ? '' : (tokens[eosId] ?? '');
      return applyChatTemplate(parts.chatTemplate, messages, { bosToken, eosToken, ...options });
    },
  };
  return tokenizer;
}

function wellFormed(text: string): string {
  return text.replace(/\p{Surrogate}/gu, '\ufffd');
}
