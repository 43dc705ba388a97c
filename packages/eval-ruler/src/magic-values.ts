import type { RandomStream } from './random.js';
import type { WordLists } from './words.js';

/** Kinds of keys and values of needles. */
export type MagicKind = 'words' | 'numbers' | 'uuids';

const hex = (value: number) => value.toString(16).padStart(8, '0');

/** Version-4 UUID from 128 random bits (RFC 9562, section 5.4). */
function uuid(random: RandomStream): string {
  const digits = [random.word(), (random.word() & 0xffff0fff) | 0x4000, (random.word() & 0x3fffffff) | 0x80000000, random.word()]
    .map((word) => hex(word >>> 0))
    .join('');
  return digits.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

/** A number of seven digits, an adjective-noun pair, or a UUID. */
export function drawMagic(kind: MagicKind, random: RandomStream, words: WordLists): string {
  if (kind === 'numbers') return String(random.between(1_000_000, 9_999_999));
  return kind === 'uuids' ? uuid(random) : `${random.pick(words.adjectives)}-${random.pick(words.nouns)}`;
}

/** Like {@link drawMagic}, but never a text that `taken` has; the new one is added there. */
export function drawNewMagic(kind: MagicKind, random: RandomStream, words: WordLists, taken: Set<string>): string {
  for (;;) {
    const value = drawMagic(kind, random, words);
    if (taken.has(value)) continue;
    taken.add(value);
    return value;
  }
}
