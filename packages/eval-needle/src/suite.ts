import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { chooseProfile, chooseTasks, type Suite } from '@kvsift/eval';
import { guardScore } from '@kvsift/eval-text';
import { KvsiftError } from '@kvsift/tensor';
import { createContextMaker } from './context.js';
import { NEEDLE_PRESETS, type Needle, SANDWICH } from './presets.js';
import { NEEDLE_PROFILES, scoreNeedle } from './score.js';

const NAME = 'needle';

/** Settings of {@link needleInHaystack}. */
export interface NeedleOptions {
  /** Folder of essays (`*.txt`), taken in the order of their names. */
  readonly essays: string;
  /** Whose question, limits and grid are the defaults. Default `kvcache-factory`. */
  readonly preset?: keyof typeof NEEDLE_PRESETS;
  /** Context lengths in tokens. Default: the preset's. */
  readonly lengths?: readonly number[];
  /** Depths in percent. Default: 0, 11, … 100. */
  readonly depths?: readonly number[];
  /**
   * Prompts per length and depth, at most as many as there are essays: trial *t* begins with essay *t* and goes on in their order, so trial 0
   * is the published prompt. Default: 1.
   */
  readonly trials?: number;
  /** One or several; several follow each other at equal distances from the depth on, and the score is their mean. Default: the sandwich. */
  readonly needles?: readonly Needle[];
  readonly question?: string;
  readonly maxNewTokens?: number;
}

async function readEssays(folder: string): Promise<string[]> {
  try {
    const names = (await readdir(folder)).filter((name) => name.endsWith('.txt')).sort();
    if (names.length > 0) return await Promise.all(names.map((name) => readFile(join(folder, name), 'utf8')));
  } catch (cause) {
    throw new KvsiftError('file_not_found', `expected a folder of essays (*.txt), got ${folder}`, { path: folder }, { cause });
  }
  throw new KvsiftError('file_not_found', `expected essays (*.txt) in ${folder}, found none`, { path: folder });
}

/**
 * Needle in a haystack (Kamradt 2023): one or more sentences hidden in essays, over a grid of lengths and depths. `samples` needs a
 * tokenizer; `heatMapOf` arranges the results.
 */
export function needleInHaystack({ essays, preset = 'kvcache-factory', trials = 1, ...own }: NeedleOptions): Suite {
  const settings = { ...NEEDLE_PRESETS[preset], needles: [SANDWICH], ...own };
  const task = settings.needles.length === 1 ? 'single_needle' : 'multi_needle';
  if (settings.needles.length === 0)
    throw new KvsiftError('config_invalid', `expected at least one needle for ${NAME}, got none`);
  return {
    name: NAME,
    tasks: [task],
    profiles: NEEDLE_PROFILES,
    async *samples({ tasks, limit = Infinity, tokenizer } = {}) {
      chooseTasks(NAME, [task], tasks);
      if (tokenizer === undefined)
        throw new KvsiftError('config_invalid', `expected the model's tokenizer for ${NAME}, got none`);
      const texts = await readEssays(essays);
      if (trials > texts.length) {
        throw new KvsiftError('config_invalid', `expected at most ${texts.length} trials, one for each essay, got ${trials}`);
      }
      const needles = settings.needles.map(({ text }) => text);
      let count = 0;
      for (let trial = 0; trial < trials; trial++) {
        const text = [...texts.slice(trial), ...texts.slice(0, trial)].join('');
        const maker = createContextMaker(text, Math.max(...settings.lengths), tokenizer);
        for (const length of settings.lengths) {
          for (const depth of settings.depths) {
            if (count++ >= limit) return;
            yield {
              id: trial === 0 ? `${length}-${depth}` : `${length}-${depth}-${trial}`,
              task,
              context: `<|im_start|> This is a very long story book: <book> ${maker.make(length, depth, needles)}`,
              question: ` </book>.\n Based on the content of the book, Question: ${settings.question}\n`,
              answerPrefix: 'Answer:',
              maxNewTokens: settings.maxNewTokens,
              stop: settings.stop,
              chat: 'never',
              expected: settings.needles.map(({ text, answer }) => ({ text, answer })),
              meta: { length, depth },
            };
          }
        }
      }
    },
    score({ expected }, prediction, wanted) {
      const profile = chooseProfile(NAME, NEEDLE_PROFILES, wanted);
      const needles = expected as unknown as readonly Needle[];
      return guardScore(
        () => needles.reduce((sum, needle) => sum + scoreNeedle(prediction, needle, profile), 0) / needles.length,
      );
    },
  };
}
