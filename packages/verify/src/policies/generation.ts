import { join } from 'node:path';
import { type LanguageModel, prefillMany, type Session } from '@kvsift/engine';
import type { EvictionPolicy } from '@kvsift/policy';
import { z } from 'zod';
import { closeTo, type Finding } from '../forward/compare.js';
import { readLogits } from '../forward/pass.js';
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

/** Greedy answers to a question about a compressed text: one session per press and ratio, all of which read the text together. */
export async function generationCases(run: SuiteRun, file: string): Promise<void> {
  const { cases } = schema.parse(await readJson(join(run.folder, file)));
  using model = await openGoldenModel(run, file);
  if (model === undefined) return;
  for (const [index, { context, fed, runs }] of cases.entries()) {
    const name = (golden: Run) => `generation ${index} ${golden.press} ${golden.ratio}`;
    const opened: { readonly golden: Run; readonly session: Session }[] = [];
    for (const golden of runs) {
      await run.tally.attempt(name(golden), () => opened.push({ golden, session: open(model, golden) }));
    }
    try {
      await prefillMany(
        model.decoder,
        opened.map(({ session }) => session),
        context,
      );
      for (const { golden, session } of opened) {
        await run.tally.run(
          name(golden),
          async () => storedFinding(session, golden) ?? (await compareAnswer(model, session, fed, golden)),
        );
        session.dispose();
      }
    } finally {
      for (const { session } of opened) session.dispose();
    }
  }
}

function open(model: LanguageModel, { press, ratio, params }: Run): Session {
  const storage = { kvType: 'f32', layout: 'flattened' } as const;
  if (press === 'full') return model.session(storage);
  const check = pressCheck(press, params, ratio, () => {
    throw new Error(`${press} has no stored sketch`);
  });
  if (check === undefined) throw new Error(`${press}: not understood`);
  const { policy } = check;
  const counted: EvictionPolicy = { ...policy, begin: (context) => policy.begin({ ...context, counting: 'kvpress' }) };
  return model.session({ ...storage, policy: counted, budget: keeping(ratio) });
}

/** Entries per head of each layer; ragged presses only mask, so what they store says nothing. */
function storedFinding(session: Session, { storedPerLayer }: Run): Finding {
  if (session.options.policy?.ragged) return undefined;
  return sameNumbers(
    storedPerLayer.map((_, layer) => session.cache.layer(layer).view.maxLength),
    storedPerLayer,
  );
}

/** Tokens at the end that go through the decode loop; what is before them is read at once. */
const decoded = 2;

/** Feeds the question and the golden's own answer while margins are clear, and compares the logits of every step. */
async function compareAnswer(model: LanguageModel, session: Session, fed: readonly number[], golden: Run): Promise<Finding> {
  const unclear = golden.margins.findIndex((margin) => margin < nearTie);
  const steps = golden.top.slice(0, unclear < 0 ? golden.top.length : unclear + 1);
  const ids = [...fed, ...golden.answer.slice(0, steps.length - 1)];
  const findings: Finding[] = [];
  const compare = (step: number, logits: Float32Array): void => {
    findings[step] = compareStep(step, logits, golden, step !== unclear);
  };
  const atOnce = Math.max(1, ids.length - decoded);
  await session.prefill(ids.slice(0, atOnce), {
    onLayer: ({ layer, hidden }) => {
      if (layer < model.decoder.layers.length - 1) return;
      return readLogits(model, hidden, fed.length - 1, (row, logits) => compare(row - fed.length + 1, logits));
    },
  });
  for (const [at, id] of ids.slice(atOnce).entries()) {
    const logits = await session.force(id);
    const step = atOnce + at - fed.length + 1;
    if (step >= 0) compare(step, logits);
  }
  return findings.find((finding) => finding !== undefined);
}

function compareStep(step: number, logits: Float32Array, golden: Run, clear: boolean): Finding {
  const { ids = [], logits: expected = [] } = golden.top[step] ?? {};
  const ours = ids.map((token) => logits[token] ?? Number.NaN);
  const finding = closeTo(ours, expected, logitTolerance, [ids.length]);
  if (finding !== undefined) return `step ${step} logits: ${finding}`;
  if (!clear) return undefined;
  const best = logits.reduce((most, value, token) => (value > (logits[most] ?? 0) ? token : most), 0);
  const id = golden.answer[step];
  return best === id ? undefined : `step ${step}: id ${best} instead of ${id}, margin ${golden.margins[step]}`;
}
