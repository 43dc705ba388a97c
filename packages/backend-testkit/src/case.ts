import type { Backend, BackendInfo } from '@kvsift/tensor';

/** Ops of the contract, as skip lists name them. */
export type Op = Exclude<keyof Backend, 'info' | typeof Symbol.asyncDispose>;

/** How far results may be from those of the reference. */
export interface Tolerance {
  /** Error of products, as a part of Σ |x · w| (of Σ max|x| · |w| per block where activations are quantised). */
  readonly product: number;
  /** Error of attention, as a part of the largest value. */
  readonly attention: number;
  /** Relative error of everything else in floating point. */
  readonly element: number;
}

/** What one case runs on. */
export interface Bench {
  readonly reference: Backend;
  readonly actual: Backend;
  readonly tolerance: Tolerance;
  /** Another backend like `actual`; the caller disposes it. */
  readonly another: () => Promise<Backend>;
}

/** One check of one op. */
export interface Case {
  readonly op: Op;
  readonly title: string;
  /** @throws Error that says what is wrong */
  readonly run: (bench: Bench) => Promise<void>;
}

/** Tolerances by what a backend says that it computes with. */
export function defaultTolerance(compute: BackendInfo['compute']): Tolerance {
  const element = 2e-6;
  return compute === 'f32' ? { product: 2e-6, attention: 2e-5, element } : { product: 1.2e-2, attention: 1.2e-2, element };
}
