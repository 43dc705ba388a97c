import {
  chain,
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
      description:
        'Steps between evictions; the cache grows by at most interval − 1 entries above the target, besides a second turn, of which the next step evicts.',
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
  deviations: [
    'Scorers see the queries as they were rotated; kvpress rotates all buffered queries by the current position.',
    'A second turn counts as no step; where it leaves more than the interval allows, the next step evicts. kvpress waits for the interval, or evicts at once where the turn is as long as the target.',
  ],
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
  const { protect, ties } = policy.scoring;
  const best = (view: LayerView, scores: Tensor, equal = ties) =>
    selectBest(view, scores, fitProtection('decoding', protect, view.budget.perHead, context), equal);
  const prefill = scoredRun(policy.name, scoring, budgets, best);
  const scores = scoreMemory(scoring);
  return {
    ...prefill,
    ...(scores && { memory: joinMemories({ scores, steps: layerNumbers(steps, options.interval - 1) }) }),
    decode: {
      observe: decode.observe,
      ...(decode.step && { read: decode.step }),
      // A budget may grow with the text, and sliding windows compare positions: both change what a step does.
      repeats:
        decode.repeats === true && options.interval === 1 && options.of === 'prompt' && context.model.windows === undefined,
      step: (view) =>
        chain(decode.step?.(view), () => {
          const passed = (steps.get(view.layer) ?? 0) + 1;
          const left = remaining?.(view.layer, view.length, view.seen) ?? budgets[view.layer] ?? view.budget;
          const budget = left === 'all' ? undefined : targetOf(view, left, context, options);
          // More than steps of one token each can have brought: a second turn was read at once.
          const before = Math.min(budgets[view.layer]?.perHead ?? context.promptLength, context.promptLength);
          const flooded = budget !== undefined && view.length > Math.max(budget.perHead, before) + options.interval;
          const due = flooded || passed >= options.interval;
          steps.set(view.layer, due ? 0 : passed);
          if (!due || budget === undefined || view.length <= budget.perHead) return 'all';
          const shrunk = { ...view, budget };
          return chain(scoresOfLayer(policy.name, scoring, shrunk), (scores) => {
            const selection = best(shrunk, scores, decode.ties);
            scoring.kept?.(shrunk, scores, selection);
            return selection;
          });
        }),
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
