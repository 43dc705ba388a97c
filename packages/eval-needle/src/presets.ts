import { roundHalfEven } from '@kvsift/eval-text';

/** What is hidden, what is asked, and what a right answer says. */
export interface Needle {
  readonly text: string;
  readonly answer: string;
}

/** The sentence of the usual test, with its line breaks. */
export const SANDWICH: Needle = {
  text: '\nThe best thing to do in San Francisco is eat a sandwich and sit in Dolores Park on a sunny day.\n',
  answer: 'eat a sandwich and sit in Dolores Park on a sunny day.',
};

/** Python `round(linspace(from, to, count))`. */
export function gridOf(from: number, to: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => roundHalfEven(count === 1 ? from : from + (i * (to - from)) / (count - 1), 0));
}

/** How one of the published runs asks. */
export interface NeedlePreset {
  readonly question: string;
  readonly maxNewTokens: number;
  readonly stop: readonly string[];
  /** Context lengths in tokens. */
  readonly lengths: readonly number[];
  /** Depths in percent. */
  readonly depths: readonly number[];
}

const DEPTHS = gridOf(0, 100, 10);

/**
 * The grids of l2compress f93d6ca (stops above 40,960 tokens) and KVCache-Factory c97f9d7 (for Llama 3; also NTK-KV b70fdf4). Neither's
 * begin-of-text ids inside the context are repeated here, and essays always come in the order of their names.
 */
export const NEEDLE_PRESETS = {
  l2compress: {
    question: 'What is the best thing to do in San Francisco?',
    maxNewTokens: 50,
    stop: [],
    lengths: gridOf(1000, 128000, 40).filter((length) => length <= 40960),
    depths: DEPTHS,
  },
  'kvcache-factory': {
    question: 'The best thing to do in San Francisco is: ',
    maxNewTokens: 30,
    stop: ['\n'],
    lengths: Array.from({ length: 71 }, (_, i) => 1000 + 100 * i),
    depths: DEPTHS,
  },
} as const satisfies Readonly<Record<string, NeedlePreset>>;
