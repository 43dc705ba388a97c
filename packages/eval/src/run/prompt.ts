import type { Question } from '../engine/contract.js';
import type { Result } from '../store/result.js';
import type { Sample } from '../suite.js';

/** Characters of a prompt's beginning and end that are kept to look at. */
const shownCharacters = 400;

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

/** What a result holds of its prompt. */
export function shownPrompt({ context, question }: Prompt): Result['prompt'] {
  const characters = [...(context + question.text)];
  return {
    start: characters.slice(0, shownCharacters).join(''),
    end: characters.slice(Math.max(shownCharacters, characters.length - shownCharacters)).join(''),
    characters: characters.length,
  };
}

/** A sample with its prompt, which is made when something asks for it, once for all cells. */
export class PromptedSample {
  #prompt: Prompt | undefined;
  #shown: Result['prompt'] | undefined;

  constructor(
    readonly sample: Sample,
    private readonly mode: 'aware' | 'agnostic',
    private readonly chat: ((content: string) => string) | undefined,
  ) {}

  get prompt(): Prompt {
    this.#prompt ??= buildPrompt(this.sample, this.mode, this.chat);
    return this.#prompt;
  }

  /** What a result holds of it. */
  get shown(): Result['prompt'] {
    this.#shown ??= shownPrompt(this.prompt);
    return this.#shown;
  }
}
