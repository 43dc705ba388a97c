/** What truncation and the token-length searches need of a tokenizer. Ids carry no special tokens unless a suite says so. */
export interface TextTokenizer {
  /** Token ids of a text. */
  encode(text: string): readonly number[] | Int32Array;
  /** Text of token ids. */
  decode(ids: readonly number[] | Int32Array): string;
}

/** A prompt in the pieces that an evaluation run treats apart; joined in this order they are the prompt. */
export interface PromptParts {
  readonly context: string;
  readonly question: string;
  readonly answerPrefix?: string;
}

/**
 * How an odd limit is halved: `floor` keeps ⌊L/2⌋ ids on both sides and loses one, `ceil` keeps ⌈L/2⌉ at the end (Python's
 * `ids[-L // 2:]`).
 */
export type HalfRounding = 'floor' | 'ceil';

/** Settings of {@link truncateMiddle}. */
export interface TruncateOptions {
  /** Most ids of the whole prompt. */
  readonly maxTokens: number;
  readonly rounding?: HalfRounding;
  /** `joined` decodes both halves together (InfiniteBench), `apart` each by itself (LongBench): differs where the seam splits a character. */
  readonly decode?: 'joined' | 'apart';
  /** Whether the reference counts a begin-of-text id, which takes one place of the first half. Default false. */
  readonly bos?: boolean;
}

/** Length of the longest common ending, in UTF-16 units. */
function commonEnding(a: string, b: string): number {
  let length = 0;
  while (length < a.length && length < b.length && a[a.length - 1 - length] === b[b.length - 1 - length]) length++;
  return length;
}

/**
 * Cuts the middle of a prompt: the first and the last half of its ids, decoded. The pieces stay apart as far as they survive: what is left
 * of question and answer prefix at the end is given back as such, everything before is context. A prompt that fits comes back unchanged.
 */
export function truncateMiddle<T extends PromptParts>(
  parts: T,
  tokenizer: TextTokenizer,
  { maxTokens, rounding = 'floor', decode = 'joined', bos = false }: TruncateOptions,
): T {
  const question = parts.question + (parts.answerPrefix ?? '');
  const ids = tokenizer.encode(parts.context + question);
  const extra = bos ? 1 : 0;
  if (ids.length + extra <= maxTokens) return parts;
  const head = ids.slice(0, Math.max(0, Math.floor(maxTokens / 2) - extra));
  const tailLength = rounding === 'floor' ? Math.floor(maxTokens / 2) : Math.ceil(maxTokens / 2);
  const tail = tailLength === 0 ? [] : ids.slice(-tailLength);
  const text = decode === 'apart' ? tokenizer.decode(head) + tokenizer.decode(tail) : tokenizer.decode([...head, ...tail]);
  // The tail decoded alone bounds how much of the ending may count as question.
  const kept = Math.min(commonEnding(text, question), tokenizer.decode(tail).length);
  const prefixKept = Math.min(kept, parts.answerPrefix?.length ?? 0);
  return {
    ...parts,
    context: text.slice(0, text.length - kept),
    question: text.slice(text.length - kept, text.length - prefixKept),
    ...(parts.answerPrefix !== undefined && { answerPrefix: text.slice(text.length - prefixKept) }),
  };
}
