import { philox4x32 } from '@kvsift/tensor';

/** What a stream of random numbers is for; streams of one seed never overlap. */
export interface StreamKey {
  readonly seed: number;
  /** Number of the sample, so that a sample does not depend on those before it. */
  readonly sample: number;
  /** Distinguishes streams within a sample. */
  readonly purpose: number;
}

/** Uniform draws from a Philox counter: equal keys give equal draws on every machine. */
export class RandomStream {
  #counter = 0;
  #words: readonly number[] = [];

  constructor(private readonly key: StreamKey) {}

  /** A uniform 32-bit word. */
  word(): number {
    const lane = this.#counter % 4;
    if (lane === 0) {
      const block = Math.floor(this.#counter / 4);
      this.#words = philox4x32([block >>> 0, this.key.purpose >>> 0, 0, 0], [this.key.seed >>> 0, this.key.sample >>> 0]);
    }
    this.#counter++;
    return this.#words[lane] ?? 0;
  }

  /** A uniform integer in 0 … bound − 1, without bias; bound is at most 2^32. */
  below(bound: number): number {
    const limit = 2 ** 32 - (2 ** 32 % bound);
    for (;;) {
      const word = this.word();
      if (word < limit) return word % bound;
    }
  }

  /** A uniform integer in low … high, both included. */
  between(low: number, high: number): number {
    return low + this.below(high - low + 1);
  }

  /** A uniform item of a list that is not empty. */
  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)] as T;
  }

  /** `count` distinct integers of 0 … bound − 1 in random order (Floyd's method, then shuffled). */
  distinct(bound: number, count: number): number[] {
    const chosen = new Set<number>();
    for (let top = bound - count; top < bound; top++) {
      const candidate = this.below(top + 1);
      chosen.add(chosen.has(candidate) ? top : candidate);
    }
    return this.shuffled([...chosen]);
  }

  /** A copy in random order (Fisher–Yates). */
  shuffled<T>(items: readonly T[]): T[] {
    const copy = [...items];
    for (let i = copy.length - 1; i > 0; i--) {
      const j = this.below(i + 1);
      [copy[i], copy[j]] = [copy[j] as T, copy[i] as T];
    }
    return copy;
  }
}
