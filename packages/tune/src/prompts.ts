import { KvsiftError } from '@kvsift/tensor';
import { z } from 'zod';

/** A prompt of the user's; with an answer, quality is finding it, without, it is the probability of what the full cache answers. */
export interface TunePrompt {
  readonly prompt: string;
  readonly answer?: string;
}

const schema = z.strictObject({
  prompt: z.string().min(1),
  // White space alone would be found in every text.
  answer: z.string().regex(/\S/, 'expected text, got white space only; leave it out where there is no answer').optional(),
});

/**
 * Reads JSON lines of `{"prompt": "...", "answer": "..."}`; the answer may be missing. Empty lines are left out; other fields are refused, since one may be an
 * answer misspelt.
 * @param source what to call the text in an error
 * @throws KvsiftError `data_malformed` with the line; also where there is no prompt
 */
export function parsePrompts(text: string, source: string): TunePrompt[] {
  const prompts = text.split('\n').flatMap((line, index): TunePrompt[] => {
    if (line.trim() === '') return [];
    const fail = (problem: string, cause?: unknown) =>
      new KvsiftError('data_malformed', `${source}, line ${index + 1}: ${problem}`, { source, line: index + 1 }, { cause });
    let value: unknown;
    try {
      value = JSON.parse(line);
    } catch (error) {
      throw fail('expected a JSON object such as {"prompt": "…", "answer": "…"}', error);
    }
    const checked = schema.safeParse(value);
    if (!checked.success) {
      throw fail(checked.error.issues.map(({ path, message }) => `${path.join('.') || 'the line'}: ${message}`).join('; '));
    }
    const { prompt, answer } = checked.data;
    return [{ prompt, ...(answer !== undefined && { answer }) }];
  });
  if (prompts.length === 0) throw new KvsiftError('data_malformed', `${source}: expected at least one prompt`, { source });
  return prompts;
}
