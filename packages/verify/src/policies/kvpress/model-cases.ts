import { basename, dirname, join } from 'node:path';
import { type EvictionPolicy, type LayerView, narrowView, uniformLayer } from '@kvsift/policy';
import type { LayerSource } from '@kvsift/policy-testkit';
import { scoped } from '@kvsift/tensor';
import { z } from 'zod';
import type { Finding } from '../../forward/compare.js';
import { GoldenFile } from '../../forward/golden-file.js';
import type { SuiteRun } from '../../suite.js';
import { describe } from '../../tally.js';
import { readJson, worst } from '../case-file.js';
import { openGoldenModel } from '../model.js';
import { needsModel } from './layer-cases.js';
import { checkPressLayer, type Press, pressesSchema } from './press-golden.js';

/** Factor on tolerances: what another order of float32 sums in thirty layers leaves. */
const noise = 5;

/** Findings of one press at one ratio over the layers. */
interface Result {
  readonly press: Press;
  readonly ratio: string;
  readonly golden: GoldenFile;
  readonly findings: Record<string, Finding>;
  layers: number;
}

/** Every press in every layer of the model, in one pass: a policy that looks at everything, asks every press, and evicts nothing. */
export async function modelCases(run: SuiteRun, file: string): Promise<void> {
  const folder = join(run.folder, dirname(file));
  const { presses } = pressesSchema.parse(await readJson(join(run.folder, file)));
  const { ids } = z.object({ ids: z.array(z.int()) }).parse(await readJson(join(folder, 'prompt.json')));
  using model = await openGoldenModel(run, file);
  if (model === undefined) return;
  const results: Result[] = [];
  for (const press of presses) {
    if (needsModel(press.press)) continue;
    const golden = await GoldenFile.open(join(folder, `${press.press}.safetensors`));
    for (const ratio of Object.keys(press.ratios)) results.push({ press, ratio, golden, findings: {}, layers: 0 });
  }
  using session = model.session({ kvType: 'f32', policy: probe((view) => askAll(view, results)), budget: '100%' });
  await session.prefill(ids);
  for (const { press, ratio, findings, layers } of results) {
    const finding = layers === 0 ? 'no layer was compared' : worst(findings);
    run.tally.check(`${basename(folder)} ${press.press} ${ratio} whole model`, finding);
  }
}

/** A policy that hands every layer with everything observed to `look` and keeps it whole. */
export function probe(look: (view: LayerView) => Promise<void>): EvictionPolicy {
  return {
    name: 'probe',
    parameters: {},
    ragged: false,
    begin: ({ model, promptLength }) => ({
      observe: {
        queries: 'all',
        queriesBeforeRotation: 'all',
        keysBeforeRotation: true,
        logSumExp: true,
        outputProjection: true,
      },
      // One entry less than the prompt, so that the layer is shown.
      budgets: Array.from({ length: model.layers }, () => uniformLayer(promptLength - 1, model)),
      async select(view) {
        await look(view);
        return 'all' as const;
      },
      dispose: () => {},
      [Symbol.dispose]: () => {},
    }),
  };
}

async function askAll(view: LayerView, results: readonly Result[]): Promise<void> {
  for (const result of results) {
    const { press, ratio, golden, findings } = result;
    using scope = scoped(view.backend);
    const source: LayerSource = {
      length: view.length,
      kvHeads: view.model.kvHeads,
      view: (observe, budget) => narrowView({ ...view, keep: scope.keep }, observe, budget, scope.backend),
    };
    const context = { model: view.model, promptLength: view.length, seed: view.seed, sequence: view.sequence };
    const own = await checkPressLayer({ press, ratio, layer: view.layer, golden, source, context, noise }).catch(
      (error: unknown): Record<string, Finding> => ({ error: describe(error) }),
    );
    if (own === undefined) continue;
    result.layers++;
    for (const [quantity, finding] of Object.entries(own)) {
      if (finding !== undefined) findings[`layer ${view.layer} ${quantity}`] = finding;
    }
  }
}
