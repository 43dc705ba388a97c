import { KvsiftError, uniformAt } from '@kvsift/tensor';
import { estimateTokens } from './estimate-tokens.js';
import { fillerSentence } from './filler.js';
import { demoKeys, factSentences, questionSentence } from './wording.js';

/** What to write. */
export interface FactDocumentOptions {
  /** Upper bound on the tokens of context and question together, as `countTokens` counts them. */
  readonly tokens: number;
  /** How many facts to hide, each with a key of its own. */
  readonly facts: number;
  /** Digits of every value; the model is trained on 3 to 7, mostly 5. */
  readonly digits: number;
  /** Equal seeds give equal documents. A whole number from 0. */
  readonly seed: number;
  /** Words to draw the keys from; default {@link demoKeys}. */
  readonly keys?: readonly string[];
  /** Counts the tokens of a prompt, begin token included if the model gets one; default {@link estimateTokens}. */
  readonly countTokens?: (text: string) => number;
}

/** One hidden fact. */
export interface Fact {
  readonly key: string;
  /** Decimal digits, the first not 0. */
  readonly value: string;
  /** The sentence as it stands in the context. */
  readonly sentence: string;
}

/** A long text with facts in it, and a question for one of them. The prompt is `context + question`. */
export interface FactDocument {
  readonly context: string;
  /** Begins with the space that parts it from the context, ends where the value follows. */
  readonly question: string;
  /** What the model should go on with, without the space before it and the full stop after it. */
  readonly answer: string;
  /** In the order of the context. */
  readonly facts: readonly Fact[];
  /** Index into `facts` of the one asked for. */
  readonly askedIndex: number;
}

/** What a random draw is for; each has numbers of its own. */
const purposes = { filler: 1, keys: 2, values: 3, sentences: 4, depths: 5, asked: 6 };

/**
 * Hides `facts` facts among generated filler sentences and asks for one of them. The text is cut into as many equal stretches
 * as there are facts, and each stretch holds one fact at a random depth. The text is as long as `tokens` allows.
 *
 * Deterministic: numbers come from a counter-based generator, so a longer document of one seed holds the same facts and the same
 * filler sentences as a shorter one, and more.
 *
 * @throws KvsiftError `invalid_argument` for options out of range, too few keys, or facts that do not fit into `tokens`
 */
export function factDocument(options: FactDocumentOptions): FactDocument {
  const { tokens, facts: count, digits, seed, keys = demoKeys, countTokens = estimateTokens } = options;
  whole('tokens', tokens, 1, Number.MAX_SAFE_INTEGER);
  whole('facts', count, 1, keys.length);
  whole('digits', digits, 1, 15);
  whole('seed', seed, 0, 2 ** 32 - 1);

  const share = (purpose: keyof typeof purposes, row: number, index: number): number =>
    uniformAt({ seed, sequence: 0, layer: 0, purpose: purposes[purpose] }, row, index);
  const draw = (purpose: keyof typeof purposes, row: number, index: number, bound: number): number =>
    Math.floor(share(purpose, row, index) * bound);
  const facts = sample(keys, count, (index, bound) => draw('keys', 0, index, bound)).map((key, row): Fact => {
    const value = Array.from({ length: digits }, (_, i) =>
      i === 0 ? 1 + draw('values', row, i, 9) : draw('values', row, i, 10),
    ).join('');
    const frame = factSentences[draw('sentences', row, 0, factSentences.length)] ?? '';
    return { key, value, sentence: frame.replace('{value}', value).replace('{key}', () => key) };
  });
  const askedIndex = draw('asked', 0, 0, count);
  const asked = facts[askedIndex];
  const question = ` ${questionSentence.replaceAll('{key}', () => asked?.key ?? '')}`;

  const filler: string[] = [];
  const context = (sentences: number): string => {
    for (let row = filler.length; row < sentences; row++)
      filler.push(fillerSentence((i, bound) => draw('filler', row, i, bound)));
    const parts = filler.slice(0, sentences);
    // From the last fact to the first, so that the places of the earlier ones stay what they are.
    for (let i = count - 1; i >= 0; i--) {
      const depth = Math.floor(((i + share('depths', i, 0)) / count) * (sentences + 1));
      parts.splice(depth, 0, facts[i]?.sentence ?? '');
    }
    return parts.join(' ');
  };
  const sentences = largest(Math.ceil(tokens / 3), tokens, (n) => countTokens(context(n) + question));
  if (sentences === undefined) {
    const needed = countTokens(context(0) + question);
    throw new KvsiftError(
      'invalid_argument',
      `${count} facts of ${digits} digits and their question need ${needed} tokens, but tokens is ${tokens}; raise tokens or hide fewer facts`,
      { tokens, needed },
    );
  }
  return { context: context(sentences), question, answer: asked?.value ?? '', facts, askedIndex };
}

/** Tokens of a filler sentence, about. */
const sentenceTokens = 12;

/**
 * The largest n in [0, limit] whose size is at most `most`, undefined when that of 0 is not. Sizes are taken to grow with n, and about evenly: each guess lies where a
 * straight line between the two nearest known sizes reaches `most`.
 */
function largest(limit: number, most: number, size: (n: number) => number): number | undefined {
  let low = { n: 0, size: size(0) };
  let high = { n: limit + 1, size: low.size + (limit + 1) * sentenceTokens };
  if (low.size > most) return undefined;
  while (high.n - low.n > 1) {
    const step = Math.floor(((most - low.size) / (high.size - low.size)) * (high.n - low.n));
    const n = Math.min(high.n - 1, low.n + Math.max(1, step));
    const tried = { n, size: size(n) };
    if (tried.size <= most) low = tried;
    else high = tried;
  }
  return low.n;
}

/** `count` different entries of `from` in random order: the first steps of a Fisher–Yates shuffle. */
function sample(from: readonly string[], count: number, draw: (index: number, bound: number) => number): string[] {
  const pool = [...from];
  return Array.from({ length: count }, (_, i) => pool.splice(draw(i, pool.length), 1)[0] ?? '');
}

function whole(name: string, value: number, least: number, most: number): void {
  if (Number.isInteger(value) && value >= least && value <= most) return;
  throw new KvsiftError(
    'invalid_argument',
    `factDocument: ${name} must be a whole number from ${least} to ${most}, got ${value}`,
    {
      [name]: value,
    },
  );
}
