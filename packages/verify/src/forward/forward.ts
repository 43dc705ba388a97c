import { filesIn } from '../files-in.js';
import type { SuiteRun } from '../suite.js';
import { describe } from '../tally.js';
import { chatCases } from './chat-cases.js';
import { realModelCases, smallModelCases } from './models.js';
import { quantCases } from './quants.js';
import { ggufTokenizerCases, publishedTokenizerCases } from './tokenizer-cases.js';

type Cases = (run: SuiteRun, file: string) => Promise<void>;

/** What knows the cases of a file, by its path in the folder. The first that fits counts. */
const kinds: readonly (readonly [pattern: RegExp, cases: Cases])[] = [
  [/^quants\/quants\.safetensors$/, quantCases],
  [/^gguf\/[^/]+\.tokenizer-cases\.json$/, ggufTokenizerCases],
  [/^[^/]+\/tokenizer-cases\.json$/, publishedTokenizerCases],
  [/^[^/]+\/chat-cases\.json$/, chatCases],
  [/^(tiny|gguf)\/[^/]+\.safetensors$/, smallModelCases],
  [/^[^/]+\/len\d+\.safetensors$/, realModelCases],
];

/** Facts beside a .safetensors file of the same name, vocabularies beside their cases, and texts for people. */
function isCompanion(file: string, all: ReadonlySet<string>): boolean {
  if (file.endsWith('.md')) return true;
  if (file.endsWith('.tokenizer.json')) return all.has(file.replace(/\.tokenizer\.json$/, '.tokenizer-cases.json'));
  return file.endsWith('.json') && all.has(file.replace(/json$/, 'safetensors'));
}

/** Tokenizers, chat templates, block formats, and the numbers of whole models. A file that nothing here knows is a failure. */
export async function forward(run: SuiteRun): Promise<void> {
  const files = await filesIn(run.folder);
  const all = new Set(files);
  for (const file of files) {
    if (isCompanion(file, all)) continue;
    const cases = kinds.find(([pattern]) => pattern.test(file))?.[1];
    if (!cases) run.tally.fail(file, 'no check knows this file');
    else await cases(run, file).catch((error: unknown) => run.tally.fail(file, describe(error)));
  }
}
