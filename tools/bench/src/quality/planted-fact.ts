import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { demoKeys, factDocument } from '@kvsift/demo-model';
import { uniformAt } from '@kvsift/tensor';
import type { Tokenizer } from '@kvsift/tokenizer';

/** A fact planted in a long text, in token ids: what is compressed and what is fed afterwards follows from the setting. */
export interface PlantedFact {
  readonly id: string;
  /** Tokens of context and question. */
  readonly length: number;
  readonly context: readonly number[];
  readonly question: readonly number[];
  /** What stands between the question and the answer; never compressed. */
  readonly lead: readonly number[];
  /** One token per digit. */
  readonly answer: readonly number[];
}

export type Setting = 'aware' | 'agnostic';

/** aware: the question is read with the text, before the eviction. agnostic: after it. */
export function partsOf({ context, question, lead, answer }: PlantedFact, setting: Setting) {
  const known = setting === 'aware';
  return {
    compressed: known ? [...context, ...question] : context,
    fed: known ? lead : [...question, ...lead],
    answer,
  };
}

/** Makes the facts of one length, the same for the same index. */
export type FactMaker = (index: number, of: number, length: number) => PlantedFact;

/** Numbers hidden in essays, in the model's chat template: at equal steps of depth from the first sentence to the last. */
export function essayFacts(tokenizer: Tokenizer, folder: string): FactMaker {
  const files = readdirSync(folder)
    .filter((name) => name.endsWith('.txt'))
    .sort();
  const essays = files.map((name) => readFileSync(join(folder, name), 'utf8').replace(/\s+/g, ' ').trim());
  const encode = (text: string) => [...tokenizer.encode(text, { addSpecial: false })];
  return (index, of, length) => {
    const draw = (at: number) => uniformAt({ seed: 42, sequence: index, layer: 0, purpose: length }, 0, at);
    const key = demoKeys[Math.floor(draw(0) * demoKeys.length)] ?? '';
    const value = Array.from({ length: 7 }, (_, at) => Math.floor(at === 0 ? 1 + 9 * draw(1) : 10 * draw(1 + at))).join('');
    const question = `What is the special magic number for ${key}?`;
    const text = [...essays.slice(index % essays.length), ...essays].join(' ');
    const needle = `The special magic number for ${key} is: ${value}.`;
    const mark = '\u0001';
    const rendered = tokenizer.chat([{ role: 'user', content: `${mark}\n\n${question}` }], { addGenerationPrompt: true });
    const [before = '', behind = ''] = rendered.split(mark);
    const [, after = ''] = behind.split(question);
    const asked = encode(`\n\n${question}`);
    const opening = encode(before);
    const room = length - opening.length - asked.length - encode(` ${needle} `).length;
    const hay = tokenizer.decode(encode(text.slice(0, 8 * length)).slice(0, room));
    const ends = [0, ...[...hay.matchAll(/[.?!] /g)].map(({ index: at }) => at + 2)];
    const place = ends[Math.round((index / Math.max(1, of - 1)) * (ends.length - 1))] ?? 0;
    return {
      ...{
        id: `${length}-${index}`,
        length,
        context: [...opening, ...encode(`${hay.slice(0, place)}${needle} ${hay.slice(place)}`)],
      },
      ...{ question: asked, lead: encode(`${after}The special magic number for ${key} is: `), answer: encode(value) },
    };
  };
}

/** Facts of the embedded model's own kind. */
export function demoFacts(tokenizer: Tokenizer): FactMaker {
  return (index, _, length) => {
    const countTokens = (text: string) => tokenizer.encode(text).length + 1;
    const document = factDocument({ tokens: length, facts: 16, digits: 5, seed: 42 + index, countTokens });
    const question = [...tokenizer.encode(document.question, { addSpecial: false })];
    return {
      id: `${length}-${index}`,
      length,
      context: [...tokenizer.encode(document.context, { addSpecial: true })],
      question: question.slice(0, -1),
      lead: question.slice(-1),
      answer: [...tokenizer.encode(` ${document.answer}`, { addSpecial: false })],
    };
  };
}
