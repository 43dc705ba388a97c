import { assemble, type Generated, type GeneratorSetting, type SampleRandom } from '../generated.js';
import type { QaData } from '../qa-data.js';
import type { SizedGenerator } from '../size-search.js';
import { BASE_FACTS } from '../task-facts.js';

/**
 * Question answering (section 3.4): the documents of question `index`, filled up with random others, in an order that repeats from sample to
 * sample as the reference's does. The size is the number of documents.
 */
export function questionGenerator({ documents, questions }: QaData, setting: GeneratorSetting): SizedGenerator {
  const { template, answerPrefix } = BASE_FACTS.qa;

  function make(size: number, { own, repeated }: SampleRandom, index: number): Generated {
    const question = questions[index % questions.length] ?? { query: '', answers: [], gold: [], related: [] };
    const chosen = new Set(question.gold);
    const room = () => Math.max(0, size - chosen.size);
    for (const i of own.shuffled(question.related).slice(0, room())) chosen.add(i);
    const others = own.distinct(documents.length, Math.min(documents.length, size + chosen.size)).filter((i) => !chosen.has(i));
    for (const i of others.slice(0, room())) chosen.add(i);
    const context = repeated
      .shuffled([...chosen])
      .map((i, position) => `Document ${position + 1}:\n${documents[i]}`)
      .join('\n\n');
    return { ...assemble(template, answerPrefix, { context, query: question.query }, setting), outputs: question.answers };
  }
  return { unit: 10, largest: documents.length, make };
}
