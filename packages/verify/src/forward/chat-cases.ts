import { basename, dirname, join } from 'node:path';
import { loadTokenizer } from '@kvsift/tokenizer';
import { readJsonFile } from '@kvsift/weights';
import { z } from 'zod';
import type { SuiteRun } from '../suite.js';
import { sameIds, sameText } from './tokenizer-cases.js';

const schema = z.array(
  z.looseObject({
    messages: z.array(z.looseObject({ role: z.string(), content: z.string() })),
    add_generation_prompt: z.boolean(),
    text: z.string(),
    ids: z.array(z.number().int()),
  }),
);

/** Conversations through the chat template of the model that the folder names: text and ids. */
export async function chatCases(run: SuiteRun, file: string): Promise<void> {
  const cases = schema.parse(await readJsonFile(join(run.folder, file), 'data_malformed'));
  const name = basename(dirname(file));
  const model = await run.model(name);
  if (model === undefined) return run.tally.skip(file, `no model ${name}`);
  const tokenizer = await loadTokenizer(model);
  for (const [i, { messages, add_generation_prompt: addGenerationPrompt, text, ids }] of cases.entries()) {
    await run.tally.run(`${file} case ${i}`, () => {
      const rendered = tokenizer.chat(messages, { addGenerationPrompt });
      return sameText('text', rendered, text) ?? sameIds('ids', tokenizer.encode(rendered, { addSpecial: false }), ids);
    });
  }
}
