import type { Label } from './label.js';

/**
 * Whose scoring rules are used. `reference`: OpenBMB/InfiniteBench 88b3daa. `nacl`: PaddlePaddle/Research ACL2024-NACL 46593e1. `kvpress`:
 * NVIDIA/kvpress 8bb29b9. `fixed`: ours, without the quirks that score right answers 0 or wrong ones 1.
 */
export const INFINITE_BENCH_PROFILES = ['reference', 'nacl', 'kvpress', 'fixed'] as const;
/** Name of a way to score. */
export type InfiniteBenchProfile = (typeof INFINITE_BENCH_PROFILES)[number];

/** What a scorer is given besides prediction and label. */
export interface ScoreContext {
  readonly profile: InfiniteBenchProfile;
  /** Name of the model that answered; `gpt4` has one quirk of its own in math_calc. */
  readonly model?: string;
}

/** Scores one prediction: 0 … 1, or throws a `score_error` where the reference raises. */
export type TaskScorer = (prediction: string, label: Label, context: ScoreContext) => number;
