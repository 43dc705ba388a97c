import { basename, dirname, join } from 'node:path';
import { type LayerInputs, modelOf, sourceOf } from '@kvsift/policy-testkit';
import { scoped } from '@kvsift/tensor';
import { GoldenFile } from '../../forward/golden-file.js';
import type { SuiteRun } from '../../suite.js';
import { readJson, worst } from '../case-file.js';
import { checkPressLayer, pressesSchema } from './press-golden.js';

/** The layer whose inputs are stored beside the presses. */
const layer = 7;

/** Presses that read the prompt a second time: only a whole model can run them. */
export const needsModel = (press: string): boolean => press.startsWith('kvzip');

/** Every press of one prompt on the stored inputs of one layer. */
export async function layerCases(run: SuiteRun, file: string): Promise<void> {
  const folder = join(run.folder, dirname(file));
  const { layers, presses } = pressesSchema.parse(await readJson(join(run.folder, file)));
  const backend = await run.backend();
  if (!backend) return run.tally.skip(file, 'no backend');
  const inputs = await readLayer(folder);
  for (const press of presses) {
    if (needsModel(press.press)) continue;
    const golden = await GoldenFile.open(join(folder, `${press.press}.safetensors`));
    for (const ratio of Object.keys(press.ratios)) {
      await run.tally.run(`${basename(folder)} ${press.press} ${ratio} layer ${layer}`, async () => {
        using scope = scoped(backend);
        const findings = await checkPressLayer({
          press,
          ratio,
          layer,
          golden,
          source: sourceOf(scope, inputs, { layer, layers }),
          context: { model: modelOf(inputs, layers), promptLength: inputs.length, seed: 0, sequence: 0 },
        });
        return findings === undefined ? 'nothing to compare with' : worst(findings);
      });
    }
  }
}

async function readLayer(folder: string): Promise<LayerInputs> {
  const file = await GoldenFile.open(join(folder, `inputs-layer${layer}.safetensors`));
  const weights = await GoldenFile.open(join(dirname(folder), `weights-layer${layer}.safetensors`));
  const q = await file.read('q');
  const k = await file.read('k');
  const [queryHeads = 0, length = 0, headDim = 0] = q.shape;
  return {
    queryHeads,
    kvHeads: k.shape[0] ?? 0,
    headDim,
    length,
    queries: await file.floats('q'),
    keys: await file.floats('k'),
    values: await file.floats('v'),
    queriesBeforeRotation: await file.floats('qPre'),
    keysBeforeRotation: await file.floats('kPre'),
    hidden: await file.floats('hidden'),
    outputProjection: await weights.floats('wo'),
    inverseFrequencies: await weights.floats('invFreq'),
  };
}
