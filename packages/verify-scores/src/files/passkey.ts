import { createHash } from 'node:crypto';
import { landmarkPrompt } from '@kvsift/eval-passkey';
import type { JsonValue } from '@kvsift/eval-text';
import { type CaseFile, readJson } from '../case-file.js';
import { expectSame } from '../compare.js';

/** The prompt as one text. */
function textOf(garbage: number, seed: number): string {
  const { context, question, answerPrefix } = landmarkPrompt(garbage, seed);
  return context + question + answerPrefix;
}

/** Published prompts: position and key, length and hash. */
export const passkeyLandmark: CaseFile = {
  pattern: /^passkey-landmark\.json$/,
  async run(path, name, tally) {
    const file = (await readJson(path)) as Record<string, JsonValue>;
    const columns = file.columns as readonly string[];
    for (const row of file.rows as readonly (readonly (number | string)[])[]) {
      tally.run(`${name}:${row.slice(0, 2).join('-')}`, () => {
        const [garbage, seed] = row as readonly [number, number];
        const { prefixLength, passKey } = landmarkPrompt(garbage, seed);
        const text = textOf(garbage, seed);
        const actual: Record<string, number | string> = {
          n_garbage: garbage,
          seed,
          n_garbage_prefix: prefixLength,
          pass_key: passKey,
          prompt_chars: text.length,
          prompt_sha256_first16: createHash('sha256').update(text).digest('hex').slice(0, 16),
        };
        expectSame(
          columns.join(', '),
          columns.map((column) => actual[column]),
          row,
        );
      });
    }
    for (const [key, prompt] of Object.entries(file)) {
      const [, garbage, seed] = /^example_prompt_n(\d+)_seed(\d+)$/.exec(key) ?? [];
      if (garbage !== undefined)
        tally.run(`${name}:${key}`, () => expectSame(key, textOf(Number(garbage), Number(seed)), prompt));
    }
  },
};
