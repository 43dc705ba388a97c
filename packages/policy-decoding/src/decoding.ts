import {
  definePolicy,
  fitProtection,
  joinMemories,
  type LayerBudget,
  type LayerView,
  layerNumbers,
  type PolicyRun,
  type ScoredPolicy,
  type ScoreRun,
  type SequenceContext,
  scoredRun,
  scoreMemory,
  scoresOfLayer,
  selectBest,
  shareOf,
  uniformLayer,
} from '@kvsift/policy';
import { KvsiftError, type Tensor } from '@kvsift/tensor';

/** Decode-time eviction (specification 28a, 28b) for any policy whose score makes sense while decoding. */
export const decoding = definePolicy({
  name: 'decoding',
  title: 'Decode-time eviction',
  idea: 'While text is generated, cut every layer back to its target each time `interval` tokens have come. Generation of any length then runs in constant memory.',
  source: 'kvpress DecodingPress; interval 1 gives the per-step rules of H2O, TOVA and StreamingLLM',
  parameters: {
    policy: { kind: 'scored', description: 'What scores the entries, at prefill and later.' },
    interval: {
      kind: 'integer',
      default: 1,
      min: 1,
      unit: 'steps',
      description: 'Steps between evictions; the cache grows by at most interval − 1 entries above the target.',
    },
    target: {
      kind: 'integer',
      default: 0,
      min: 0,
      unit: 'entries per head',
      description:
        'Entries left by an eviction; 0 means what the wrapped policy says, usually those that the budget left at prefill.',
    },
    of: {
      kind: 'choice',
      choices: ['prompt', 'seen'] as const,
      default: 'prompt',
      description: 'seen: a budget that is a share counts all tokens so far, so the cache grows with the text.',
    },
  },
  observes: 'what the wrapped policy observes, of the latest tokens',
  costs: 'those of the wrapped policy, every `interval` steps',
  phases: ['prefill', 'decode'],
  profiles: { kvpress: { description: 'kvpress DecodingPress.', parameters: { interval: 512, target: 2048 } } },
  deviations: ['Scorers see the queries as they were rotated; kvpress rotates all buffered queries by the current position.'],
  create: ({ policy, interval, target, of }) => ({
    ragged: false,
    traits: ['decode'] as const,
    begin: (context) => start(policy, context, { interval, target, of }),
  }),
});

interface Options {
  readonly interval: number;
  readonly target: number;
  readonly of: 'prompt' | 'seen';
}

function start(policy: ScoredPolicy, context: SequenceContext, options: Options): PolicyRun {
  const scoring = policy.scoring.start(context);
  if (scoring.decode === undefined) {
    throw new KvsiftError('policy_invalid', `decoding: the score of ${policy.name} makes sense at prefill only`, {
      policy: policy.name,
    });
  }
  return run(policy, context, options, scoring, scoring.decode, new Map());
}

function run(
  policy: ScoredPolicy,
  context: SequenceContext,
  options: Options,
  scoring: ScoreRun,
  decode: NonNullable<ScoreRun['decode']>,
  steps: Map<number, number>,
): PolicyRun {
  const budgets = policy.scoring.allocate(context);
  const remaining = policy.scoring.remaining?.(context);
  const best = (view: LayerView, scores: Tensor) => {
    const { protect, ties } = policy.scoring;
    return selectBest(view, scores, fitProtection('decoding', protect, view.budget.perHead, context), ties);
  };
  const prefill = scoredRun(policy.name, scoring, budgets, best);
  const scores = scoreMemory(scoring);
  return {
    ...prefill,
    ...(scores && { memory: joinMemories({ scores, steps: layerNumbers(steps, options.interval - 1) }) }),
    decode: {
      observe: decode.observe,
      ...(decode.step && { read: decode.step }),
      async step(view) {
        await decode.step?.(view);
        const passed = (steps.get(view.layer) ?? 0) + 1;
        const due = passed >= options.interval;
        steps.set(view.layer, due ? 0 : passed);
        const left = remaining?.(view.layer, view.length, view.seen) ?? budgets[view.layer] ?? view.budget;
        if (left === 'all') return left;
        const budget = targetOf(view, left, context, options);
        if (!due || view.length <= budget.perHead) return 'all';
        const shrunk = { ...view, budget };
        const scores = await scoresOfLayer(policy.name, scoring, shrunk);
        const selection = best(shrunk, scores);
        scoring.kept?.(shrunk, scores, selection);
        return selection;
      },
    },
    fork() {
      const twin = scoring.fork?.() ?? scoring;
      return run(policy, context, options, twin, twin.decode ?? decode, new Map(steps));
    },
  };
}

function targetOf(view: LayerView, left: LayerBudget, { budget }: SequenceContext, { target, of }: Options): LayerBudget {
  if (target > 0) return uniformLayer(target, view.model);
  if (of === 'seen' && budget.kind === 'share') return uniformLayer(shareOf(view.seen, budget), view.model);
  return left;
}
