import { readdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { type LayerInputs, modelOf, sourceOf } from '@kvsift/policy-testkit';
import { type Backend, scoped } from '@kvsift/tensor';
import { GoldenFile } from '../../forward/golden-file.js';
import type { SuiteRun } from '../../suite.js';
import { readJson, worst } from '../case-file.js';
import { checkPressLayer, type Press, pressesSchema } from './press-golden.js';

/** Presses that read the prompt a second time: only a whole model can run them. */
export const needsModel = (press: string): boolean => press.startsWith('kvzip');

/** Every press of one prompt on the stored inputs of one layer. */
export async function layerCases(run: SuiteRun, file: string): Promise<void> {
  const folder = join(run.folder, dirname(file));
  const { layers, presses } = pressesSchema.parse(await readJson(join(run.folder, file)));
  const backend = await run.backend();
  if (!backend) return run.tally.skip(file, 'no backend');
  const stored = (await readdir(folder)).flatMap((name) => /^inputs-layer(\d+)\.safetensors$/.exec(name)?.[1] ?? []);
  if (stored.length === 0) return run.tally.fail(file, 'expected inputs-layer<n>.safetensors beside it');
  for (const name of stored) await checkLayer(run, folder, Number(name), layers, presses, backend);
}

/** Every press on the inputs of one layer, which are stored beside the presses. */
async function checkLayer(
  run: SuiteRun,
  folder: string,
  layer: number,
  layers: number,
  presses: readonly Press[],
  backend: Backend,
): Promise<void> {
  const inputs = await readLayer(folder, layer);
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

async function readLayer(folder: string, layer: number): Promise<LayerInputs> {
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
