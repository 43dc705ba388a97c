import type { CacheStatistics } from '@kvsift/cache';
import { KvsiftError } from '@kvsift/tensor';
import type { Tokenizer, TokenStream } from '@kvsift/tokenizer';
import { checkSampling, type SamplingOptions } from './sampling.js';
import { StopFinder } from './stop.js';

/** How long an answer may get, what ends it, and how its tokens are drawn. */
export interface GenerateOptions extends SamplingOptions {
  /** Most tokens to generate. Default 256. */
  readonly maxTokens?: number;
  /** Texts, or one, that end the answer; they are not part of it. */
  readonly stop?: string | readonly string[];
  /** Go on past end-of-text tokens. Default false. */
  readonly ignoreEos?: boolean;
  readonly signal?: AbortSignal;
}

/** Why an answer ended. */
export type FinishReason = 'eos' | 'stop' | 'length' | 'context';

/** One generated token. */
export interface Chunk {
  /** Text that is complete so far: may be empty where a character or a stop string is still open. */
  readonly text: string;
  readonly id: number;
  /** Natural logarithm of the probability that the model gave to this token. */
  readonly logProb: number;
  readonly cache: CacheStatistics;
  /** Present on the last chunk. */
  readonly finishReason?: FinishReason;
}

/** A sampled token. */
export interface Drawn {
  readonly id: number;
  readonly logProb: number;
}

/** One answer in the making: text out of tokens, and when it ends. */
export class Answer {
  readonly #finder: StopFinder;
  readonly #stream: TokenStream | undefined;
  readonly #maxTokens: number;
  #count = 0;

  /** @throws KvsiftError `invalid_argument` for options out of range */
  constructor(
    readonly options: GenerateOptions,
    tokenizer: Tokenizer | undefined,
    private readonly eosIds: ReadonlySet<number>,
  ) {
    checkSampling(options);
    const { maxTokens = 256, stop = [] } = options;
    if (!Number.isInteger(maxTokens) || maxTokens < 1) {
      throw new KvsiftError('invalid_argument', `maxTokens must be a positive integer, not ${maxTokens}`);
    }
    const stops = typeof stop === 'string' ? [stop] : stop;
    if (!(Array.isArray(stops) && stops.every((text) => typeof text === 'string'))) {
      throw new KvsiftError('invalid_argument', `stop must be texts, not ${JSON.stringify(stop)}`);
    }
    this.#maxTokens = maxTokens;
    this.#finder = new StopFinder(stops);
    this.#stream = tokenizer?.stream({ continues: true });
  }

  /** True where the next token is the last whatever it is. */
  get ending(): boolean {
    return this.#count + 1 >= this.#maxTokens;
  }

  /** Takes the next token. `room`: tokens that the context can still take after it. */
  accept({ id, logProb }: Drawn, room: number, cache: CacheStatistics): Chunk {
    this.#count += 1;
    if (this.options.ignoreEos !== true && this.eosIds.has(id)) {
      return { text: this.#rest(''), id, logProb, cache, finishReason: 'eos' };
    }
    const { text, stopped } = this.#finder.push(this.#stream?.push(id) ?? '');
    if (stopped) return { text, id, logProb, cache, finishReason: 'stop' };
    if (this.#count >= this.#maxTokens) return { text: this.#rest(text), id, logProb, cache, finishReason: 'length' };
    if (room < 1) return { text: this.#rest(text), id, logProb, cache, finishReason: 'context' };
    return { text, id, logProb, cache };
  }

  #rest(text: string): string {
    return text + this.#finder.push(this.#stream?.end() ?? '').text + this.#finder.end();
  }
}
