import { dirname, join } from 'node:path';
import { type LanguageModel, load } from '@kvsift/engine';
import { z } from 'zod';
import type { SuiteRun } from '../suite.js';
import { readJson } from './case-file.js';

/**
 * Loads the model of the goldens, or says why its cases are skipped. The caller disposes it. `long` cases read so many tokens that the reference
 * backend would take hours.
 */
export async function openGoldenModel(run: SuiteRun, file: string, long = true): Promise<LanguageModel | undefined> {
  const backend = await run.backend();
  if (long && backend?.info.name === 'reference') {
    run.tally.skip(`${file} (whole model)`, 'hours on the reference backend: use --backend cpu --compute f32');
    return undefined;
  }
  const name = await modelName(run, file);
  const path = await run.model(name);
  if (backend !== undefined && path !== undefined) return load(path, { backend });
  run.tally.skip(`${file} (whole model)`, backend ? `no model ${name}` : 'no backend');
  return undefined;
}

/** Family name in kvpress/versions.json: 'SmolLM2-135M-Instruct.Q4_1.gguf' is `smollm2`. */
async function modelName(run: SuiteRun, file: string): Promise<string> {
  const root = join(run.folder, file.startsWith('kvpress/') ? 'kvpress' : join(dirname(dirname(file)), 'kvpress'));
  const versions = await readJson(join(root, 'versions.json')).catch(() => ({}));
  const { model } = z.object({ model: z.string().default('smollm2') }).parse(versions);
  return (model.split('-')[0] ?? model).toLowerCase();
}
