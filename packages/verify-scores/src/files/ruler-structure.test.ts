import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { createGenerator, RULER_TASKS, type RulerTask } from '@kvsift/eval-ruler';
import { splitWords, type TextTokenizer } from '@kvsift/eval-text';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { checkRulerText, type RulerSizes } from './ruler-structure.js';

const shared = fileURLToPath(new URL('../../../../../shared/data', import.meta.url));
const essays = `${shared}/haystack`;

/** The stand-in with which the reference samples were made: one token per word. */
const words: TextTokenizer = { encode: (text) => splitWords(text).map((_, i) => i), decode: () => '' };

interface Setting {
  readonly seed?: number;
  readonly length: number;
  readonly freshShuffles?: boolean;
}

async function generate(task: RulerTask, { seed = 42, length, freshShuffles = false }: Setting, index = 0) {
  const setting = { length, tokenizer: words, modelTemplate: '{task_template}', freshShuffles, seed };
  const generator = await createGenerator(task, setting, { essays });
  const sample = generator.sample(index);
  return { ...sample, text: sample.context + sample.question + sample.answerPrefix };
}

const withoutFiles: readonly RulerTask[] = ['niah_single_1', 'niah_multikey_2', 'niah_multikey_3', 'vt', 'cwe', 'fwe'];
const withEssays = RULER_TASKS.filter((task) => task.startsWith('niah') && !withoutFiles.includes(task));

describe('our samples have the reference’s form', () => {
  it.each(withoutFiles)('%s at any length, for any seed and number', async (task) => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 900, max: 6000 }),
        fc.nat(2 ** 32 - 1),
        fc.nat(500),
        fc.boolean(),
        async (length, seed, index, freshShuffles) => {
          const sample = await generate(task, { length, seed, freshShuffles }, index);
          checkRulerText(task, sample);
          expect(sample.tokens).toBeLessThanOrEqual(length);
          // As large as fits: what is left is less than the biggest step of any task.
          expect(sample.tokens).toBeGreaterThan(length * 0.85);
        },
      ),
      { numRuns: 8 },
    );
  });
});

describe.skipIf(!existsSync(shared))('beside the reference’s samples (skipped without ../shared/data)', () => {
  it.each(withEssays)('%s hides its needles in essays', async (task) => {
    for (const length of [600, 1024, 8192]) {
      const sample = await generate(task, { length }, 3);
      checkRulerText(task, sample);
      expect(sample.tokens).toBeLessThanOrEqual(length);
      expect(sample.tokens).toBeGreaterThan(length * 0.85);
    }
  });

  const files: readonly (readonly [length: number, task: RulerTask])[] = [
    [1024, 'niah_single_1'],
    [1024, 'vt'],
    [1024, 'cwe'],
    ...RULER_TASKS.filter((task) => !task.startsWith('qa')).map((task) => [4096, task] as const),
  ];
  it.each(files)('%i %s is as large as the reference’s', async (length, task) => {
    const [line = ''] = (await readFile(`${shared}/ruler-samples/generated-${length}-${task}.jsonl`, 'utf8')).split('\n');
    const row = JSON.parse(line) as { input: string; answer_prefix: string; outputs: string[]; length: number };
    const reference: RulerSizes = checkRulerText(task, { text: row.input + row.answer_prefix, outputs: row.outputs });
    const ours = await generate(task, { length });
    const sizes = checkRulerText(task, ours);
    // Keys of several words ("ad hoc-…") may cost a line of needles, or some words of a list.
    const tolerance = task === 'niah_multikey_2' ? 1 : 0;
    for (const [name, size] of Object.entries(reference))
      expect(Math.abs((sizes[name] ?? 0) - size), name).toBeLessThanOrEqual(tolerance);
    expect(Math.abs(ours.tokens - row.length)).toBeLessThan(task === 'cwe' ? 120 : 20);
  });
});
