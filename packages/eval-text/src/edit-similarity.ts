import { internWords, lcsLength } from './lcs.js';
import { roundHalfEven } from './python-number.js';
import { codePoints } from './python-text.js';

/** Which library `fuzzywuzzy.fuzz.ratio` finds: `difflib` of the standard library, or `levenshtein` of python-Levenshtein. */
export type EditRatio = 'difflib' | 'levenshtein';

/** From this length of the second text on, difflib ignores frequent characters as seeds. */
const POPULAR_FROM = 200;

interface Block {
  readonly a: number;
  readonly b: number;
  readonly size: number;
}

/** Positions of each character of b that may seed a block (difflib's "autojunk" drops the popular ones). */
function seedPositions(b: Int32Array): Map<number, number[]> {
  const positions = new Map<number, number[]>();
  b.forEach((character, j) => {
    const known = positions.get(character);
    if (known === undefined) positions.set(character, [j]);
    else known.push(j);
  });
  if (b.length >= POPULAR_FROM) {
    const most = Math.floor(b.length / 100) + 1;
    for (const [character, at] of positions) if (at.length > most) positions.delete(character);
  }
  return positions;
}

/** Longest block of equal characters within the ranges, earliest in a, then in b; grown at both ends by characters that cannot seed. */
function longestBlock(
  a: Int32Array,
  b: Int32Array,
  seeds: ReadonlyMap<number, readonly number[]>,
  [aLow, aHigh, bLow, bHigh]: readonly [number, number, number, number],
): Block {
  let best: Block = { a: aLow, b: bLow, size: 0 };
  let lengths = new Map<number, number>();
  for (let i = aLow; i < aHigh; i++) {
    const next = new Map<number, number>();
    for (const j of seeds.get(a[i] ?? -1) ?? []) {
      if (j < bLow) continue;
      if (j >= bHigh) break;
      const size = (lengths.get(j - 1) ?? 0) + 1;
      next.set(j, size);
      if (size > best.size) best = { a: i - size + 1, b: j - size + 1, size };
    }
    lengths = next;
  }
  let { a: i, b: j, size } = best;
  while (i > aLow && j > bLow && a[i - 1] === b[j - 1]) {
    i--;
    j--;
    size++;
  }
  while (i + size < aHigh && j + size < bHigh && a[i + size] === b[j + size]) size++;
  return { a: i, b: j, size };
}

/** Characters in difflib's matching blocks: the longest block, then what is left of it and right of it. */
function matchingCharacters(a: Int32Array, b: Int32Array): number {
  const seeds = seedPositions(b);
  const ranges: (readonly [number, number, number, number])[] = [[0, a.length, 0, b.length]];
  let total = 0;
  for (let range = ranges.pop(); range !== undefined; range = ranges.pop()) {
    const block = longestBlock(a, b, seeds, range);
    if (block.size === 0) continue;
    total += block.size;
    const [aLow, aHigh, bLow, bHigh] = range;
    if (aLow < block.a && bLow < block.b) ranges.push([aLow, block.a, bLow, block.b]);
    if (block.a + block.size < aHigh && block.b + block.size < bHigh)
      ranges.push([block.a + block.size, aHigh, block.b + block.size, bHigh]);
  }
  return total;
}

/** Python `difflib.SequenceMatcher(None, a, b).ratio()` over code points: 2M / (|a| + |b|). Not symmetric. Two empty texts: 1. */
export function difflibRatio(a: string, b: string): number {
  const [left, right] = internWords(codePoints(a), codePoints(b)) as [Int32Array, Int32Array];
  const total = left.length + right.length;
  return total === 0 ? 1 : (2 * matchingCharacters(left, right)) / total;
}

/** python-Levenshtein `ratio`: (|a| + |b| − d) / (|a| + |b|) with substitutions costing 2, which is 2·LCS / (|a| + |b|). Two empty texts: 1. */
export function levenshteinRatio(a: string, b: string): number {
  const [left, right] = internWords(codePoints(a), codePoints(b)) as [Int32Array, Int32Array];
  const total = left.length + right.length;
  return total === 0 ? 1 : (2 * lcsLength(left, right)) / total;
}

/** `fuzzywuzzy.fuzz.ratio`: an integer 0 … 100; identical texts 100, one empty text 0. */
export function fuzzRatio(prediction: string, reference: string, ratio: EditRatio): number {
  if (prediction === reference) return 100;
  if (prediction === '' || reference === '') return 0;
  return roundHalfEven(100 * (ratio === 'difflib' ? difflibRatio : levenshteinRatio)(prediction, reference), 0);
}
