import { join } from 'node:path';
import type { LanguageModel, Session } from '@kvsift/engine';
import type { EvictionPolicy } from '@kvsift/policy';
import { z } from 'zod';
import { closeTo, type Finding } from '../forward/compare.js';
import type { SuiteRun } from '../suite.js';
import { readJson } from './case-file.js';
import { sameNumbers } from './compare.js';
import { pressCheck } from './kvpress/press.js';
import { openGoldenModel } from './model.js';
import { keeping } from './synthetic/scored.js';

const stepSchema = z.object({ ids: z.array(z.int()), logits: z.array(z.number()) });
const schema = z.object({
  steps: z.int(),
  cases: z.array(
    z.object({
      question: z.string(),
      context: z.array(z.int()),
      fed: z.array(z.int()),
      runs: z.array(
        z.object({
          press: z.string(),
          ratio: z.number(),
          params: z.record(z.string(), z.unknown()),
          answer: z.array(z.int()),
          top: z.array(stepSchema),
          margins: z.array(z.number()),
          storedPerLayer: z.array(z.int()),
        }),
      ),
    }),
  ),
});
type Run = z.infer<typeof schema>['cases'][number]['runs'][number];

/** Below this margin a float32 engine may choose the other token, and everything after it differs. */
const nearTie = 0.05;
const logitTolerance = 2e-2;

/** Greedy answers to a question about a compressed text, one session per press and ratio. */
export async function generationCases(run: SuiteRun, file: string): Promise<void> {
  const { cases } = schema.parse(await readJson(join(run.folder, file)));
  using model = await openGoldenModel(run, file);
  if (model === undefined) return;
  for (const [index, { context, fed, runs }] of cases.entries()) {
    for (const golden of runs) {
      await run.tally.run(`generation ${index} ${golden.press} ${golden.ratio}`, async () => {
        using session = open(model, golden);
        await session.prefill(context);
        return storedFinding(session, golden) ?? (await compareAnswer(session, fed, golden));
      });
    }
  }
}

function open(model: LanguageModel, { press, ratio, params }: Run): Session {
  if (press === 'full') return model.session({ kvType: 'f32' });
  const check = pressCheck(press, params, ratio, () => {
    throw new Error(`${press} has no stored sketch`);
  });
  if (check === undefined) throw new Error(`${press}: not understood`);
  const { policy } = check;
  const counted: EvictionPolicy = { ...policy, begin: (context) => policy.begin({ ...context, counting: 'kvpress' }) };
  return model.session({ kvType: 'f32', policy: counted, budget: keeping(ratio) });
}

/** Entries per head of each layer; ragged presses only mask, so what they store says nothing. */
function storedFinding(session: Session, { storedPerLayer }: Run): Finding {
  if (session.options.policy?.ragged) return undefined;
  return sameNumbers(
    storedPerLayer.map((_, layer) => session.cache.layer(layer).view.maxLength),
    storedPerLayer,
  );
}

/** Feeds the question and follows the golden's own answer while margins are clear. */
async function compareAnswer(session: Session, fed: readonly number[], golden: Run): Promise<Finding> {
  let logits: Float32Array = new Float32Array();
  for (const id of fed) logits = await session.force(id);
  for (const [step, id] of golden.answer.entries()) {
    const { ids = [], logits: expected = [] } = golden.top[step] ?? {};
    const finding = closeTo(
      ids.map((token) => logits[token] ?? Number.NaN),
      expected,
      logitTolerance,
      [ids.length],
    );
    if (finding !== undefined) return `step ${step} logits: ${finding}`;
    if ((golden.margins[step] ?? 0) < nearTie) return undefined;
    const best = logits.reduce((most, value, token) => (value > (logits[most] ?? 0) ? token : most), 0);
    if (best !== id) return `step ${step}: id ${best} instead of ${id}, margin ${golden.margins[step]}`;
    logits = await session.force(id);
  }
  return undefined;
}
