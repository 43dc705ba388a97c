import { setImmediate } from 'node:timers/promises';
import { KvsiftError } from '@kvsift/tensor';
import { type Generated, type GeneratorSetting, type SampleRandom, textOf } from './generated.js';
import { RandomStream } from './random.js';

/** How samples of growing size are made. */
export interface SizedGenerator {
  /** Smallest size, and the step of retries. */
  readonly unit: number;
  /** Size beyond which there is nothing to add. Default: none. */
  readonly largest?: number;
  readonly make: (size: number, random: SampleRandom, index: number) => Generated;
}

/** Purposes of the streams of a sample. */
const OWN = 1;
const REPEATED = 2;
/** Sample number of the streams with which the size is searched. */
const SEARCH = 0xffffffff;

/**
 * Finds the largest size whose sample, with the tokens to generate, fits the length (by doubling, then by halves; the reference estimates the
 * upper bound instead), then makes samples: one that is too long by chance is made again a unit smaller.
 */
export class SampleSizer {
  #size: number | undefined;

  constructor(
    private readonly generator: SizedGenerator,
    private readonly setting: GeneratorSetting,
    private readonly tokensToGenerate: number,
  ) {}

  #random(index: number): SampleRandom {
    const { seed, freshShuffles } = this.setting;
    return {
      own: new RandomStream({ seed, sample: index, purpose: OWN }),
      repeated: new RandomStream({ seed, sample: freshShuffles ? index : SEARCH, purpose: REPEATED }),
    };
  }

  #make(size: number, index: number): Generated & { readonly tokens: number } {
    const sample = this.generator.make(size, this.#random(index), index);
    return { ...sample, tokens: this.setting.tokenizer.encode(textOf(sample)).length + this.tokensToGenerate };
  }

  /** Finds the size; stops at each step for whoever has something else to do. */
  *#search(): IterableIterator<undefined> {
    const { unit, largest = Infinity } = this.generator;
    const fits = (size: number) => this.#make(size, SEARCH).tokens <= this.setting.length;
    let low = unit;
    let high = Math.min(2 * unit, largest);
    while (high < largest && fits(high)) {
      yield;
      low = high;
      high = Math.min(2 * high, largest);
    }
    if (fits(high)) low = high;
    while (high - low > 1) {
      yield;
      const middle = Math.floor((low + high) / 2);
      if (fits(middle)) low = middle;
      else high = middle;
    }
    this.#size = low;
  }

  /** Finds the size of the samples, which takes seconds for long ones, and lets timers and signals have their turns meanwhile. */
  async prepare(): Promise<void> {
    if (this.#size === undefined) for (const _ of this.#search()) await setImmediate();
  }

  /** @throws KvsiftError `invalid_argument` where even the smallest sample is too long */
  sample(index: number): Generated & { readonly tokens: number } {
    const { unit } = this.generator;
    if (this.#size === undefined) Array.from(this.#search());
    for (let size = this.#size ?? unit; ; size = Math.max(size - unit, unit)) {
      const sample = this.#make(size, index);
      if (sample.tokens <= this.setting.length) return sample;
      if (size <= unit) {
        throw new KvsiftError(
          'invalid_argument',
          `expected a RULER length that holds the smallest sample (${sample.tokens} tokens), got ${this.setting.length}; ask for a greater length`,
        );
      }
    }
  }
}
