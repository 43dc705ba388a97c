import {
  definePolicy,
  demandLayers,
  type LayerView,
  type PolicyRun,
  type Protection,
  type ScoredPolicy,
  type ScoreRun,
  type SequenceContext,
  scoredRun,
  scoresOfLayer,
  selectBest,
  uniformLayer,
} from '@kvsift/policy';
import { KvsiftError } from '@kvsift/tensor';
import { type CompressionSchedule, keptAfterStep } from './compression-schedule.js';

/** Compression of every layer after each token, by a share of what it holds (l2compress, specification 7). */
export const everyStep = definePolicy({
  name: 'every-step',
  title: 'Compression at every step',
  idea: 'After each token keep ⌈keepRatio · length⌉ entries of every layer. Repeated at each step, the share acts as a cap of about 1 / (1 − keepRatio) entries.',
  paper: {
    title: 'A Simple and Effective L2 Norm-Based Strategy for KV Cache Compression',
    authors: 'Devoto, Zhao, Scardapane, Minervini',
    venue: 'EMNLP 2024',
    url: 'https://arxiv.org/abs/2406.11430',
  },
  parameters: {
    policy: { kind: 'scored', description: 'What scores the entries: knorm in the paper.' },
    keepRatio: { kind: 'number', default: 0.98, min: 0, max: 1, unit: 'share of the length', description: 'What a step keeps.' },
    pruneAfter: { kind: 'integer', default: 0, min: 0, unit: 'entries', description: 'Shorter caches stay whole.' },
    skipLayers: { kind: 'numbers', default: [], min: 0, unit: 'layers', description: 'Layers that stay whole.' },
  },
  observes: 'what the wrapped policy observes, of the latest tokens',
  costs: 'those of the wrapped policy, at every step',
  budget: 'own',
  phases: ['prefill', 'decode'],
  profiles: {
    quick: { description: 'l2compress eval_lm_quick.', parameters: { keepRatio: 0.98, pruneAfter: 1000, skipLayers: [0, 1] } },
    full: { description: 'l2compress eval_lm.', parameters: { keepRatio: 0.98, pruneAfter: 10, skipLayers: [0] } },
  },
  deviations: [
    'A token keeps its true position; the reference numbers new tokens by the length of layer 0, which is the same while layer 0 is skipped.',
  ],
  create: ({ policy, ...schedule }) => ({
    ragged: false,
    traits: ['decode'] as const,
    begin: (context) => start(policy, context, schedule),
  }),
});

interface Schedule extends CompressionSchedule {
  readonly skipLayers: readonly number[];
}

function start(policy: ScoredPolicy, context: SequenceContext, schedule: Schedule): PolicyRun {
  demandLayers('every-step', 'skipLayers', schedule.skipLayers, context.model);
  const scoring = policy.scoring.start(context);
  if (scoring.decode === undefined) {
    throw new KvsiftError('policy_invalid', `every-step: the score of ${policy.name} makes sense at prefill only`, {
      policy: policy.name,
    });
  }
  return run(policy, context, schedule, scoring, scoring.decode);
}

function run(
  policy: ScoredPolicy,
  context: SequenceContext,
  schedule: Schedule,
  scoring: ScoreRun,
  decode: NonNullable<ScoreRun['decode']>,
): PolicyRun {
  const { model, promptLength } = context;
  const kept = (layer: number, length: number) =>
    schedule.skipLayers.includes(layer) ? length : Math.max(1, keptAfterStep(length, schedule));
  const budgets = Array.from({ length: model.layers }, (_, layer) => uniformLayer(kept(layer, promptLength), model));
  const { protect, ties } = policy.scoring;
  const choose = (view: LayerView, scores: Parameters<typeof selectBest>[1], equal = ties) =>
    selectBest(view, scores, clamp(protect, view.budget.perHead), equal);
  return {
    ...scoredRun(policy.name, scoring, budgets, choose),
    decode: {
      observe: decode.observe,
      ...(decode.step && { read: decode.step }),
      async step(view) {
        await decode.step?.(view);
        const perHead = kept(view.layer, view.length);
        if (perHead >= view.length) return 'all';
        const shrunk = { ...view, budget: uniformLayer(perHead, model) };
        const scores = await scoresOfLayer(policy.name, scoring, shrunk);
        const selection = choose(shrunk, scores, decode.ties);
        scoring.kept?.(shrunk, scores, selection);
        return selection;
      },
    },
    fork() {
      const twin = scoring.fork?.() ?? scoring;
      return run(policy, context, schedule, twin, twin.decode ?? decode);
    },
  };
}

/** The window first keeps its end, then the sinks their start, as `fitProtection` does for a share. */
function clamp({ first, last }: Protection, perHead: number): Protection {
  const window = Math.min(last, perHead);
  return { first: Math.min(first, perHead - window), last: window };
}
