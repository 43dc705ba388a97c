import { basename, dirname, join } from 'node:path';
import type { LanguageModel } from '@kvsift/engine';
import type { EvictionPolicy } from '@kvsift/policy';
import { KvzipRun, kvzip } from '@kvsift/policy-kvzip';
import { readSelection } from '@kvsift/policy-testkit';
import { scoped } from '@kvsift/tensor';
import { z } from 'zod';
import type { Finding } from '../../forward/compare.js';
import { GoldenFile } from '../../forward/golden-file.js';
import type { SuiteRun } from '../../suite.js';
import { readJson, worst } from '../case-file.js';
import { sameKept, sameScores } from '../compare.js';
import { openGoldenModel } from '../model.js';
import { keeping } from '../synthetic/scored.js';
import { needsModel } from './layer-cases.js';
import { keptOf, pressesSchema } from './press-golden.js';

const paramsSchema = z.strictObject({
  n_sink: z.int(),
  layerwise: z.boolean(),
  kvzip_plus_normalization: z.boolean(),
  chunk_size: z.int().default(2048),
});

/** Scores of a second reading of our own; float32 sums in another order through thirty layers, twice. */
const tolerance = { relative: 1e-3, absolute: 1e-5 };
/** All layers compete: one tied entry moves counts elsewhere. */
const slack = 4;

type Params = z.infer<typeof paramsSchema>;

/** KVzip presses: a session reads the prompt twice; presses with the same scores share its reading. */
export async function kvzipCases(run: SuiteRun, file: string): Promise<void> {
  const folder = join(run.folder, dirname(file));
  const { presses } = pressesSchema.parse(await readJson(join(run.folder, file)));
  const { ids } = z.object({ ids: z.array(z.int()) }).parse(await readJson(join(folder, 'prompt.json')));
  const zips = presses.filter(({ press }) => needsModel(press));
  if (zips.length === 0) return;
  using model = await openGoldenModel(run, file);
  if (model === undefined) return;
  const template = templateParts(model);
  const readings = new Map<string, Promise<readonly Float32Array[]>>();
  for (const press of zips) {
    const golden = await GoldenFile.open(join(folder, `${press.press}.safetensors`));
    for (const ratio of Object.keys(press.ratios)) {
      await run.tally.run(`${basename(folder)} ${press.press} ${ratio} whole model`, async () => {
        const params = paramsSchema.parse(press.params);
        const { layerwise: _selection, ...scoring } = params;
        const key = JSON.stringify(scoring);
        const reading = readings.get(key) ?? readTwice(model, ids, params, template);
        readings.set(key, reading);
        return checkKvzip(model, ids.length, params, ratio, golden, await reading);
      });
    }
  }
}

/** Tokens before the context in the chat template, and the text behind it, as kvpress takes them apart. */
function templateParts({ tokenizer }: LanguageModel): { prefix: number; suffix: string } {
  const dummy = 'dummy context';
  const separator = `\n${'#'.repeat(dummy.length)}`;
  const text = tokenizer.chat([{ role: 'user', content: dummy + separator }], { addGenerationPrompt: true });
  const [before = '', suffix = ''] = text.split(separator);
  const [prefix = ''] = before.split(dummy);
  return { prefix: tokenizer.encode(prefix, { addSpecial: false }).length, suffix };
}

function policyOf(params: Params, template: { prefix: number; suffix: string }) {
  const { n_sink: sinks, layerwise, kvzip_plus_normalization: plus, chunk_size: chunk } = params;
  return kvzip({ sinks, layerwise, plus, chunk, keepPrefix: false, ...template });
}

/** Scores of every layer after a session has read the prompt and its reconstruction. */
async function readTwice(
  model: LanguageModel,
  ids: readonly number[],
  params: Params,
  template: { prefix: number; suffix: string },
): Promise<readonly Float32Array[]> {
  const policy = policyOf(params, template);
  let scores: readonly Float32Array[] = [];
  const watched: EvictionPolicy = {
    ...policy,
    begin(context) {
      const started = policy.begin(context);
      if (started instanceof KvzipRun) scores = started.scores;
      return started;
    },
  };
  using session = model.session({ kvType: 'f32', policy: watched, budget: '50%' });
  await session.prefill(ids);
  // Disposing the session empties the run's list.
  return [...scores];
}

async function checkKvzip(
  model: LanguageModel,
  length: number,
  params: Params,
  ratio: string,
  golden: GoldenFile,
  scores: readonly Float32Array[],
): Promise<Finding> {
  const { layers, kvHeads, queryHeads, headDim, hidden } = model.decoder.config;
  const shape = { layers: layers.length, kvHeads, queryHeads, headDim, hidden, entryBytes: 8 * headDim };
  const context = { model: shape, promptLength: length, budget: keeping(Number(ratio)), seed: 0, sequence: 0 };
  using run = policyOf(params, { prefix: 0, suffix: '' }).begin({ ...context, counting: 'kvpress' });
  if (!(run instanceof KvzipRun)) return 'kvzip started another run';
  run.scores.push(...scores);
  using scope = scoped(model.decoder.backend);
  const decisions = run.decide(scope.backend);
  const findings: Record<string, Finding> = {};
  for (const layer of layers.keys()) {
    const name = [`scores.${ratio}.${layer}`, `scores.${layer}`].find((candidate) => golden.has(candidate));
    const ours = scores[layer] ?? new Float32Array();
    // The sinks' own scores are replaced in kvpress.
    const columns = { first: params.n_sink, end: length };
    if (name !== undefined) {
      findings[`layer ${layer} scores`] = sameScores(ours, await golden.floats(name), kvHeads, tolerance, columns);
    }
    const decision = decisions[layer];
    const selection = decision === undefined || decision === 'all' || 'selection' in decision ? undefined : decision;
    const kept = selection ? await readSelection(selection) : [];
    const expected = await keptOf(golden, `kept.${ratio}`, layer, kvHeads);
    findings[`layer ${layer} kept`] = sameKept(kept, expected, { slack, scores: ours, columns, tie: tolerance.relative });
  }
  return worst(findings);
}
