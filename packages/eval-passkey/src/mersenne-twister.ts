const N = 624;
const M = 397;

/**
 * NumPy's legacy generator (`numpy.random.seed`, `numpy.random.randint`): MT19937 (Matsumoto and Nishimura 1998) with the Knuth
 * initialiser. Only for prompts that must be the published ones.
 */
export class MersenneTwister {
  readonly #state = new Uint32Array(N);
  #next = N;

  /** @param seed 0 … 2^32 − 1 */
  constructor(seed: number) {
    this.#state[0] = seed;
    for (let i = 1; i < N; i++) {
      const previous = this.#state[i - 1] ?? 0;
      this.#state[i] = Math.imul(1812433253, previous ^ (previous >>> 30)) + i;
    }
  }

  #twist(): void {
    const state = this.#state;
    for (let i = 0; i < N; i++) {
      const mixed = ((state[i] ?? 0) & 0x80000000) | ((state[(i + 1) % N] ?? 0) & 0x7fffffff);
      state[i] = (state[(i + M) % N] ?? 0) ^ (mixed >>> 1) ^ (mixed & 1 ? 0x9908b0df : 0);
    }
    this.#next = 0;
  }

  /** The next 32-bit word. */
  word(): number {
    if (this.#next === N) this.#twist();
    let word = this.#state[this.#next++] ?? 0;
    word ^= word >>> 11;
    word ^= (word << 7) & 0x9d2c5680;
    word ^= (word << 15) & 0xefc60000;
    return (word ^ (word >>> 18)) >>> 0;
  }

  /** `randint(low, high)`: low … high − 1; words masked to the needed bits are drawn until one is small enough. */
  integer(low: number, high: number): number {
    const range = high - 1 - low;
    if (range === 0) return low;
    const mask = 2 ** (32 - Math.clz32(range)) - 1;
    for (;;) {
      const word = (this.word() & mask) >>> 0;
      if (word <= range) return low + word;
    }
  }
}
