import { readFileSync } from 'node:fs';

/** The word lists from which keys and counted words are drawn. */
export interface WordLists {
  readonly nouns: readonly string[];
  readonly adjectives: readonly string[];
  readonly verbs: readonly string[];
}

/** wonderwords 2.2.0 (MIT licence, Copyright (c) 2020 Maxim Rebguns), as shipped in this package. */
export function readWordLists(): WordLists {
  return JSON.parse(readFileSync(new URL('../data/wonderwords-2.2.0.json', import.meta.url), 'utf8')) as WordLists;
}

/** All words once, in code-point order: the vocabulary of common-words extraction. */
export function vocabularyOf({ nouns, adjectives, verbs }: WordLists): string[] {
  return [...new Set([...nouns, ...adjectives, ...verbs])].sort();
}
