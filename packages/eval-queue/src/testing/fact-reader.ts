import { setTimeout } from 'node:timers/promises';
import type { AnswerRequest, EvalEngine } from '@kvsift/eval';
import { KvsiftError } from '@kvsift/tensor';

const limit = 2000;
const encode = (text: string) => Int32Array.from(text, (character) => character.codePointAt(0) ?? 0);

/**
 * The smallest engine that can be right and wrong: knows the numbers that it read, half of the text where there is a budget. Takes a moment, so that it
 * can be killed in the middle; some words upset it.
 */
export function factReader(upset: { readonly deadly: () => void } = { deadly: () => {} }): EvalEngine {
  return {
    facts: { model: 'fact reader', threads: 1 },
    contextLength: limit,
    tokenizer: { encode, decode: (ids) => String.fromCodePoint(...ids) },
    async *answer({ context, questions, setting, retention, onProgress }: AnswerRequest) {
      if (context.includes('deadly')) upset.deadly();
      if (context.includes('poisonous')) throw new Error('the accelerator is on fire');
      if (context.length > limit) {
        throw new KvsiftError('context_length_exceeded', `the text has ${context.length} characters`);
      }
      onProgress?.(0.5);
      await setTimeout(60);
      const known = setting.budget === undefined ? context : context.slice(0, context.length / 2);
      for (const [index, { text, maxNewTokens }] of questions.entries()) {
        const key = /\w+(?=\?)/.exec(text + context)?.[0] ?? '';
        const found = new RegExp(`${key} is (\\d+)`).exec(known)?.[1] ?? `${setting.sequence}`;
        yield {
          text: found.slice(0, maxNewTokens),
          contextTokens: context.length,
          generatedTokens: found.length,
          decodedTokens: found.length - 1,
          cacheBytes: known.length,
          prefillSeconds: 0.06,
          firstTokenSeconds: 0,
          decodeSeconds: 0.01,
          finishReason: 'stop',
          ...(index === 0 && retention && { retention: { kvHeads: 1, tokens: [...context], layers: [[...known].map(() => 1)] } }),
        };
      }
    },
    async [Symbol.asyncDispose]() {},
  };
}
