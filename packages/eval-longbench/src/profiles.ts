import { type EditRatio, RECURSION_MOVES } from '@kvsift/eval-text';

/** What differs between the sources' scorers. */
export interface ScoringRules {
  /** Which library compares code. */
  readonly codeSimilarity: EditRatio;
  /** ROUGE-L is 0 where backtracking takes more moves: Python's recursion limit. */
  readonly maxMoves: number;
  /** Leading white space is removed from predictions, code indentation included (not in LongBench-E). */
  readonly stripStart: boolean;
  /** Ours: classes are filtered without skipping, and a line of code counts although it contains `#` or `//`. */
  readonly repaired: boolean;
}

const reference: ScoringRules = { codeSimilarity: 'difflib', maxMoves: RECURSION_MOVES, stripStart: false, repaired: false };

/**
 * Whose scoring rules are used. `reference`: THUDM/LongBench 2e00731. `reference-unlimited`: the same without Python's recursion limit.
 * `kvcache-factory`: Zefan-Cai/KVCache-Factory c97f9d7, also NTK-KV b70fdf4. `kvpress`: NVIDIA/kvpress 8bb29b9. `fixed`: ours.
 */
export const LONGBENCH_RULES = {
  reference,
  'reference-unlimited': { ...reference, maxMoves: Infinity },
  'kvcache-factory': { ...reference, codeSimilarity: 'levenshtein' },
  kvpress: { ...reference, stripStart: true },
  fixed: { codeSimilarity: 'levenshtein', maxMoves: Infinity, stripStart: false, repaired: true },
} as const satisfies Readonly<Record<string, ScoringRules>>;

/** Name of a way to score. */
export type LongBenchProfile = keyof typeof LONGBENCH_RULES;
/** All of them, the default first. */
export const LONGBENCH_PROFILES = Object.keys(LONGBENCH_RULES) as readonly LongBenchProfile[];
