import { filesIn } from '../files-in.js';
import type { SuiteRun } from '../suite.js';
import { describe } from '../tally.js';
import { checkFamily } from './case-file.js';
import { generationCases } from './generation.js';
import { decodingCases } from './kvpress/decoding.js';
import { kvzipCases } from './kvpress/kvzip-cases.js';
import { layerCases } from './kvpress/layer-cases.js';
import { modelCases } from './kvpress/model-cases.js';
import { adakvFamily } from './synthetic/adakv.js';
import { kvpressTensorsFamily } from './synthetic/kvpress-tensors.js';
import { naclFamily } from './synthetic/nacl.js';
import { h2oFamily, l2normFamily, streamingFamily } from './synthetic/one-shot.js';
import { checkPyramidBudgets, pyramidkvFamily } from './synthetic/pyramidkv.js';
import { raggedDecodeFamily } from './synthetic/ragged-decode.js';
import { ratchetFamily } from './synthetic/ratchet.js';
import { snapkvFamily } from './synthetic/snapkv.js';

type Cases = (run: SuiteRun, file: string) => Promise<void>;

/** What knows the cases of a file, by its path in the folder. */
const kinds: readonly (readonly [pattern: RegExp, cases: Cases])[] = [
  [/^synthetic\/snapkv\.json$/, (run, file) => checkFamily(run, file, snapkvFamily)],
  [/^synthetic\/h2o\.json$/, (run, file) => checkFamily(run, file, h2oFamily)],
  [/^synthetic\/streamingllm\.json$/, (run, file) => checkFamily(run, file, streamingFamily)],
  [/^synthetic\/l2norm\.json$/, (run, file) => checkFamily(run, file, l2normFamily)],
  [/^synthetic\/pyramidkv\.json$/, (run, file) => checkFamily(run, file, pyramidkvFamily)],
  [/^synthetic\/adakv\.json$/, (run, file) => checkFamily(run, file, adakvFamily)],
  [/^synthetic\/nacl\.json$/, (run, file) => checkFamily(run, file, naclFamily)],
  [/^synthetic\/kvpress-tensors\.json$/, (run, file) => checkFamily(run, file, kvpressTensorsFamily)],
  [/^synthetic\/ratchet\.json$/, (run, file) => checkFamily(run, file, ratchetFamily)],
  [/^synthetic\/ragged-decode\.json$/, (run, file) => checkFamily(run, file, raggedDecodeFamily)],
  [/^kvpress\/tokens-\d+\/presses\.json$/, pressCases],
  [/^kvpress\/decoding-[^/]+\.json$/, decodingCases],
  [/^generation\/[^/]+\.json$/, generationCases],
  [/^synthetic\/pyramid-budgets\.json$/, checkPyramidBudgets],
];

/** Presses on the stored inputs of one layer, then in every layer of the model. */
async function pressCases(run: SuiteRun, file: string): Promise<void> {
  await layerCases(run, file);
  await modelCases(run, file);
  await kvzipCases(run, file);
}

/** Tensors beside the cases that name them, versions, and texts for people. */
const companions = /(\.md|\/versions\.json|\.safetensors|\/prompt\.json)$/;

/** Every file of a folder of policy goldens. A file that nothing here knows is a failure. */
export async function policies(run: SuiteRun): Promise<void> {
  const files = await filesIn(run.folder);
  for (const file of files) {
    if (companions.test(file)) continue;
    const cases = kinds.find(([pattern]) => pattern.test(file))?.[1];
    if (!cases) run.tally.fail(file, 'no check knows this file');
    else await cases(run, file).catch((error: unknown) => run.tally.fail(file, describe(error)));
  }
}
