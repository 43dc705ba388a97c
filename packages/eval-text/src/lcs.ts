/** Numbers the words of both sides, equal words alike, so that the tables below compare integers. */
export function internWords(...texts: readonly (readonly string[])[]): Int32Array[] {
  const ids = new Map<string, number>();
  return texts.map((words) =>
    Int32Array.from(words, (word) => {
      const known = ids.get(word);
      if (known !== undefined) return known;
      ids.set(word, ids.size);
      return ids.size - 1;
    }),
  );
}

/** Lengths of the longest common subsequences of all prefixes: entry `i * (b.length + 1) + j` belongs to `a[0..i)` and `b[0..j)`. */
export function lcsTable(a: Int32Array, b: Int32Array): Int32Array {
  const columns = b.length + 1;
  const table = new Int32Array((a.length + 1) * columns);
  for (let i = 1; i <= a.length; i++) {
    const word = a[i - 1];
    const row = i * columns;
    for (let j = 1; j <= b.length; j++) {
      const up = table[row - columns + j] ?? 0;
      const left = table[row + j - 1] ?? 0;
      table[row + j] = word === b[j - 1] ? (table[row - columns + j - 1] ?? 0) + 1 : Math.max(up, left);
    }
  }
  return table;
}

/** Length of the longest common subsequence, in two rows of memory. */
export function lcsLength(a: Int32Array, b: Int32Array): number {
  let previous = new Int32Array(b.length + 1);
  let current = new Int32Array(b.length + 1);
  for (let i = 0; i < a.length; i++) {
    const item = a[i];
    for (let j = 1; j <= b.length; j++) {
      const up = previous[j] ?? 0;
      const left = current[j - 1] ?? 0;
      current[j] = item === b[j - 1] ? (previous[j - 1] ?? 0) + 1 : Math.max(up, left);
    }
    [previous, current] = [current, previous];
  }
  return previous[b.length] ?? 0;
}

/** One way back through the table: which common subsequence is taken, and how many moves it took. */
export interface LcsPath {
  /** Indices into `a`, ascending. */
  readonly indices: readonly number[];
  readonly moves: number;
}

/**
 * One longest common subsequence, read from the end. Where both neighbours of the table are equal the two ROUGE packages differ:
 * `onTie: 'b'` drops the last item of `b` (package `rouge`), `onTie: 'a'` the last of `a` (`rouge_score`).
 */
export function lcsPath(a: Int32Array, b: Int32Array, onTie: 'a' | 'b'): LcsPath {
  const table = lcsTable(a, b);
  const columns = b.length + 1;
  const indices: number[] = [];
  let moves = 0;
  for (let i = a.length, j = b.length; i > 0 && j > 0; moves++) {
    if (a[i - 1] === b[j - 1]) {
      indices.push(i - 1);
      i--;
      j--;
      continue;
    }
    const up = table[(i - 1) * columns + j] ?? 0;
    const left = table[i * columns + j - 1] ?? 0;
    if (up > left || (up === left && onTie === 'a')) i--;
    else j--;
  }
  return { indices: indices.reverse(), moves };
}
