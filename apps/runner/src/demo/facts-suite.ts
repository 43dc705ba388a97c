import { type FactDocumentOptions, factDocument } from '@kvsift/demo-model';
import { chooseTasks, type Suite } from '@kvsift/eval';

export interface FactsOptions extends Pick<FactDocumentOptions, 'facts' | 'digits'> {
  /** Tokens of each prompt: one task per length. */
  readonly lengths: readonly number[];
  /** Samples per length where no limit is given. */
  readonly samples: number;
}

const answerTokens = 10;
const taskOf = (length: number) => `facts-${length}`;

/** Facts hidden in generated texts, made for the embedded model: the answer must begin with the digits of the one that is asked for. */
export function factsSuite({ lengths, samples, facts, digits }: FactsOptions): Suite {
  const known = lengths.map(taskOf);
  return {
    name: 'facts',
    tasks: known,
    profiles: ['first-number'],
    async *samples({ tasks, limit = samples, seed = 42, tokenizer } = {}) {
      // The begin token counts too.
      const countTokens = tokenizer && ((text: string) => tokenizer.encode(text).length + 1);
      const chosen = chooseTasks('facts', known, tasks);
      for (const length of lengths.filter((tokens) => chosen.includes(taskOf(tokens)))) {
        for (let index = 0; index < limit; index++) {
          const document = factDocument({
            ...{ tokens: length, facts, digits, seed: seed + index },
            ...(countTokens && { countTokens }),
          });
          const [asked] = document.facts.slice(document.askedIndex);
          const place = document.context.indexOf(asked?.sentence ?? '');
          yield {
            id: `${seed + index}`,
            task: taskOf(length),
            context: document.context,
            question: document.question,
            maxNewTokens: answerTokens,
            stop: ['.'],
            chat: 'never',
            expected: document.answer,
            meta: { length, depth: Math.round((100 * place) / document.context.length) },
          };
        }
      }
    },
    score: ({ expected }, prediction) => Number(/\d+/.exec(prediction)?.[0] === expected),
  };
}
