import type { Question } from '../engine/contract.js';
import type { Sample } from '../suite.js';

/** A sample as the engine reads it. */
export interface Prompt {
  readonly context: string;
  readonly addSpecial: boolean;
  readonly question: Question;
}

/**
 * Puts a sample together. Aware: the question belongs to the context, and the policy sees it. Agnostic: it follows once the context has been compressed; with
 * a chat template the cut is where the sample's own context ends inside the user's turn.
 */
export function buildPrompt(sample: Sample, mode: 'aware' | 'agnostic', chat: ((content: string) => string) | undefined): Prompt {
  const { context, question, answerPrefix = '', maxNewTokens, minNewTokens, stop } = sample;
  const templated = sample.chat === 'allowed' && chat !== undefined;
  const text = (templated ? chat(context + question) : context + question) + answerPrefix;
  const start = templated ? text.indexOf(context) : 0;
  // A template that rewrites the text (trims it, escapes it) leaves no place to cut: then everything is context.
  const cut = mode === 'aware' || context === '' || start < 0 ? text.length : start + context.length;
  return {
    context: text.slice(0, cut),
    addSpecial: !templated,
    question: { text: text.slice(cut), maxNewTokens, stop, ...(minNewTokens !== undefined && { minNewTokens }) },
  };
}
