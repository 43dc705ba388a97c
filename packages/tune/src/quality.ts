import type { LanguageModel, Session, SessionOptions } from '@kvsift/engine';
import { KvsiftError } from '@kvsift/tensor';
import type { TunePrompt } from './prompts.js';

/** How prompts are read and answered. */
export interface ReadingOptions {
  /** Most tokens of an answer. */
  readonly maxTokens: number;
  /** Wrap prompts in the model's chat template where it has one. */
  readonly chat: boolean;
  readonly kvType?: SessionOptions['kvType'];
  readonly seed?: number;
  readonly signal?: AbortSignal;
}

/** What the full cache makes of a prompt: the measure for everything else. */
export interface Baseline {
  readonly ids: Int32Array;
  readonly answer?: string;
  /** Tokens of the full cache's answer and their log-probabilities, sum. */
  readonly answerIds: readonly number[];
  readonly logProb: number;
  /** Whether it holds the expected answer; absent where there is none. */
  readonly found?: boolean;
  readonly cacheBytes: number;
}

/** One prompt under one setting. */
export interface Reading {
  /** Share of the full cache's quality on this prompt; where an answer is expected 1 (found) or 0. */
  readonly quality: number;
  /** Bytes of the cache once the prompt has been read and evicted. */
  readonly cacheBytes: number;
  readonly seconds: number;
}

/** Reads a prompt with the full cache. */
export async function readBaseline(model: LanguageModel, prompt: TunePrompt, options: ReadingOptions): Promise<Baseline> {
  const chat = options.chat && model.tokenizer.chatTemplate !== undefined;
  const ids = model.encode(chat ? [{ role: 'user', content: prompt.prompt }] : prompt.prompt);
  const { kvType, signal } = options;
  using session = model.session({ ...(kvType && { kvType }) });
  await session.prefill(ids, signal ? { signal } : {});
  const cacheBytes = session.statistics().bytes;
  const { text, answerIds } = await answer(session, options);
  using again = model.session({ ...(kvType && { kvType }) });
  await again.prefill(ids, signal ? { signal } : {});
  const logProb = await logProbability(again, answerIds, signal);
  const expected = prompt.answer;
  const found = expected === undefined ? {} : { answer: expected, found: holds(text, expected) };
  return { ids, answerIds, logProb, cacheBytes, ...found };
}

/** Reads the prompt of a baseline under a policy and budget. */
export async function readPrompt(
  model: LanguageModel,
  baseline: Baseline,
  setting: Pick<SessionOptions, 'policy' | 'budget'>,
  options: ReadingOptions,
): Promise<Reading> {
  const { kvType, seed, signal } = options;
  const started = performance.now();
  using session = model.session({ ...setting, ...(kvType && { kvType }), ...(seed !== undefined && { seed }) });
  await session.prefill(baseline.ids, signal ? { signal } : {});
  const cacheBytes = session.statistics().bytes;
  const quality =
    baseline.answer === undefined
      ? perTokenRatio(baseline, await logProbability(session, baseline.answerIds, signal))
      : Number(holds((await answer(session, options)).text, baseline.answer));
  return { quality, cacheBytes, seconds: (performance.now() - started) / 1000 };
}

async function answer(session: Session, { maxTokens, signal }: ReadingOptions): Promise<{ text: string; answerIds: number[] }> {
  let text = '';
  const answerIds: number[] = [];
  for await (const chunk of session.generate({ maxTokens, ...(signal && { signal }) })) {
    text += chunk.text;
    answerIds.push(chunk.id);
  }
  return { text, answerIds };
}

/** Sum of the natural logarithms of the probabilities of `ids`, one after the other. */
async function logProbability(session: Session, ids: readonly number[], signal: AbortSignal | undefined): Promise<number> {
  let sum = 0;
  let logits = await session.logits();
  for (const [index, id] of ids.entries()) {
    if (signal?.aborted) throw new KvsiftError('aborted', 'tuning was aborted', {}, { cause: signal.reason });
    const highest = logits.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
    const total = logits.reduce((a, b) => a + Math.exp(b - highest), 0);
    sum += (logits[id] ?? Number.NaN) - highest - Math.log(total);
    if (index < ids.length - 1) logits = await session.force(id);
  }
  return sum;
}

/** Geometric mean over the answer's tokens of their probability against that under the full cache; better than it counts as equal. */
function perTokenRatio({ answerIds, logProb }: Baseline, other: number): number {
  return Math.min(1, Math.exp((other - logProb) / Math.max(1, answerIds.length)));
}

/** Whether an answer is in a text, whatever its case and white space. */
export function holds(text: string, expected: string): boolean {
  const plain = (value: string) => value.toLowerCase().split(/\s+/).filter(Boolean).join(' ');
  return plain(text).includes(plain(expected));
}
