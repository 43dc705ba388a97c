import { join } from 'node:path';
import { decoding } from '@kvsift/policy-decoding';
import { knorm } from '@kvsift/policy-knorm';
import { z } from 'zod';
import { closeTo, type Finding } from '../../forward/compare.js';
import { GoldenFile } from '../../forward/golden-file.js';
import type { SuiteRun } from '../../suite.js';
import { readJson } from '../case-file.js';
import { sameKept } from '../compare.js';
import { openGoldenModel } from '../model.js';
import { keptOf } from './press-golden.js';

const schema = z.object({
  interval: z.int(),
  target: z.int(),
  prompt: z.array(z.int()),
  forced: z.array(z.int()),
  storedAfterStep: z.array(z.int()),
  compactionsAfterStep: z.array(z.int()),
  top: z.array(z.object({ ids: z.array(z.int()), logits: z.array(z.number()) })),
});

/** Entries per head that one tied choice in an earlier layer may shift. */
const slack = 2;
/** f32 against f32, while the same entries are stored. */
const logitTolerance = 2e-2;
/** Once a tie fell the other way (equal tokens have keys of equal norm), another token is read: only a sanity check is left. */
const afterTie = 1;

/** Eviction while decoding: what each layer holds after each compaction, how much after every step, and the logits of every step. */
export async function decodingCases(run: SuiteRun, file: string): Promise<void> {
  const values = schema.parse(await readJson(join(run.folder, file)));
  using model = await openGoldenModel(run, file, false);
  if (model === undefined) return;
  const golden = await GoldenFile.open(join(run.folder, file.replace(/json$/, 'safetensors')));
  const { interval, target, forced } = values;
  const policy = decoding({ policy: knorm(), interval, target });
  using session = model.session({ kvType: 'f32', policy, budget: '100%', trackPositions: true });
  await session.prefill(values.prompt);
  const { layers, kvHeads } = { layers: model.decoder.config.layers.length, kvHeads: model.decoder.config.kvHeads };
  let tolerance = logitTolerance;
  for (const [index, id] of forced.entries()) {
    const step = index + 1;
    const logits = await session.force(id);
    await run.tally.run(`decoding step ${step} stored`, () => {
      const stored = session.statistics().entries / (layers * kvHeads);
      return stored === values.storedAfterStep[index]
        ? undefined
        : `${stored} entries per head instead of ${values.storedAfterStep[index]}`;
    });
    await run.tally.run(`decoding step ${step} logits`, () => {
      const { ids = [], logits: expected = [] } = values.top[index] ?? {};
      return closeTo(
        ids.map((token) => logits[token] ?? Number.NaN),
        expected,
        tolerance,
        [ids.length],
      );
    });
    if (!golden.has(`kept.${step}`)) continue;
    await run.tally.run(`decoding step ${step} kept`, async () => {
      const findings: Finding[] = [];
      for (let layer = 0; layer < layers; layer++) {
        const ours = (await session.retained(layer)).map((positions) => [...positions]);
        const expected = await keptOf(golden, `kept.${step}`, layer, kvHeads);
        if (JSON.stringify(ours) !== JSON.stringify(expected)) tolerance = afterTie;
        const finding = sameKept(ours, expected, { slack });
        if (finding !== undefined) findings.push(`layer ${layer}: ${finding}`);
      }
      return findings.length === 0 ? undefined : findings.join('; ');
    });
  }
}
