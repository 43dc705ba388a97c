import { basename, dirname, join } from 'node:path';
import type { LanguageModel } from '@kvsift/engine';
import type { EvictionPolicy } from '@kvsift/policy';
import { KvzipRun, kvzip } from '@kvsift/policy-kvzip';
import { z } from 'zod';
import type { Finding } from '../../forward/compare.js';
import { GoldenFile } from '../../forward/golden-file.js';
import type { SuiteRun } from '../../suite.js';
import { readJson, worst } from '../case-file.js';
import { sameKept, sameScores } from '../compare.js';
import { openGoldenModel } from '../model.js';
import { keeping } from '../synthetic/scored.js';
import { needsModel } from './layer-cases.js';
import { keptOf, type Press, pressesSchema } from './press-golden.js';

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

/** KVzip presses: sessions that read the prompt twice. */
export async function kvzipCases(run: SuiteRun, file: string): Promise<void> {
  const folder = join(run.folder, dirname(file));
  const { presses } = pressesSchema.parse(await readJson(join(run.folder, file)));
  const { ids } = z.object({ ids: z.array(z.int()) }).parse(await readJson(join(folder, 'prompt.json')));
  using model = await openGoldenModel(run, file);
  if (model === undefined) return;
  const template = templateParts(model);
  for (const press of presses.filter(({ press: name }) => needsModel(name))) {
    const golden = await GoldenFile.open(join(folder, `${press.press}.safetensors`));
    for (const ratio of Object.keys(press.ratios)) {
      await run.tally.run(`${basename(folder)} ${press.press} ${ratio} whole model`, () =>
        checkKvzip(model, ids, press, ratio, golden, template),
      );
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

async function checkKvzip(
  model: LanguageModel,
  ids: readonly number[],
  press: Press,
  ratio: string,
  golden: GoldenFile,
  template: { prefix: number; suffix: string },
): Promise<Finding> {
  const { n_sink: sinks, layerwise, kvzip_plus_normalization: plus, chunk_size: chunk } = paramsSchema.parse(press.params);
  const policy = kvzip({ sinks, layerwise, plus, chunk, keepPrefix: false, ...template });
  const seen: { run?: KvzipRun } = {};
  const watched: EvictionPolicy = {
    ...policy,
    begin(context) {
      const run = policy.begin({ ...context, counting: 'kvpress' });
      if (run instanceof KvzipRun) seen.run = run;
      return run;
    },
  };
  const { layers, kvHeads } = model.decoder.config;
  using session = model.session({ kvType: 'f32', policy: watched, budget: keeping(Number(ratio)), trackPositions: true });
  await session.prefill(ids);
  const findings: Record<string, Finding> = {};
  for (const layer of layers.keys()) {
    const name = [`scores.${ratio}.${layer}`, `scores.${layer}`].find((candidate) => golden.has(candidate));
    const ours = seen.run?.scores[layer] ?? new Float32Array();
    // The sinks' own scores are replaced in kvpress.
    if (name !== undefined) {
      const columns = { first: sinks, end: ids.length };
      findings[`layer ${layer} scores`] = sameScores(ours, await golden.floats(name), kvHeads, tolerance, columns);
    }
    const kept = (await session.retained(layer)).map((positions) => [...positions]);
    const expected = await keptOf(golden, `kept.${ratio}`, layer, kvHeads);
    findings[`layer ${layer} kept`] = sameKept(kept, expected, { slack, scores: ours, tie: tolerance.relative });
  }
  return worst(findings);
}
