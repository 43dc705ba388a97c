import { basename, dirname, join } from 'node:path';
import { type LanguageModel, load } from '@kvsift/engine';
import type { SuiteRun } from '../suite.js';
import { describe } from '../tally.js';
import { GoldenFile } from './golden-file.js';
import { checkSmolLm2 } from './smollm2.js';
import { type Check, checkTiny } from './tiny.js';

type ModelCheck = (model: LanguageModel, golden: GoldenFile, check: Check) => Promise<void>;

async function modelCases(run: SuiteRun, file: string, name: string, compare: ModelCheck): Promise<void> {
  const path = await run.model(name);
  const backend = await run.backend();
  if (path === undefined || !backend) return run.tally.skip(file, backend ? `no model ${name}` : 'no backend');
  try {
    await using model = await load(path, { backend });
    const golden = await GoldenFile.open(join(run.folder, file));
    await compare(model, golden, (quantity, finding) => run.tally.check(`${file} ${quantity}`, finding));
  } catch (error) {
    run.tally.fail(file, describe(error));
  }
}

/** tiny/NAME.safetensors and gguf/NAME.safetensors: one small model each. */
export function smallModelCases(run: SuiteRun, file: string): Promise<void> {
  return modelCases(run, file, basename(file, '.safetensors'), checkTiny);
}

/** smollm2/lenN.safetensors: the folder names the model. */
export function realModelCases(run: SuiteRun, file: string): Promise<void> {
  return modelCases(run, file, basename(dirname(file)), checkSmolLm2);
}
