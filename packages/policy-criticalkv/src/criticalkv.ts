import {
  bestFirst,
  definePolicy,
  fitProtection,
  keepBest,
  type LayerView,
  layerProtections,
  observed,
  type Protection,
  raiseProtected,
  reduceGroups,
  type ScoreRun,
  scoredRun,
} from '@kvsift/policy';
import { snapkv } from '@kvsift/policy-snapkv';
import type { Tensor } from '@kvsift/tensor';

const paper = {
  title: 'Identify Critical KV Cache in LLM Inference from an Output Perturbation Perspective',
  authors: 'Feng, Lv, Cao, Xie, Zhou',
  venue: 'arXiv 2025',
  url: 'https://arxiv.org/abs/2502.03805',
} as const;

const shared = {
  policy: { kind: 'scored', default: () => snapkv(), description: 'What scores the entries in the first stage.' },
  firstStage: {
    kind: 'number',
    default: 0.5,
    min: 0,
    max: 1,
    unit: 'share of the budget',
    description: 'Secured by the wrapped score alone; 1 is the wrapped policy.',
  },
  epsilon: {
    kind: 'number',
    default: 1e-4,
    min: 0,
    description: 'Added to the wrapped score before it is weighted, so that values count where attention is nil.',
  },
} as const;

/** Raises entries above every score. */
const secured = 1e30;

/** CriticalKV (specification 18). */
export const criticalkv = definePolicy({
  name: 'criticalkv',
  title: 'CriticalKV',
  idea: 'Secure half of the budget by attention; choose the rest by attention times the L1 norm of the projected value, which bounds how far the output can move.',
  paper,
  parameters: shared,
  observes: 'what the wrapped policy observes, values and the output projection',
  costs: '2 · queryHeads · n · headDim · hidden FLOPs, O(queryHeads · n) memory',
  phases: ['prefill'],
  profiles: { kvpress: { description: 'kvpress CriticalKVPress.', parameters: { firstStage: 0.5, epsilon: 1e-4 } } },
  deviations: ['Protected entries stay protected by a mask; kvpress rescales their scores in the second stage.'],
  create: ({ policy, firstStage, epsilon }) =>
    keepBest('criticalkv', {
      ...policy.scoring,
      start: (context) => {
        const inner = policy.scoring.start(context);
        return {
          ...withProjection(inner),
          async score(view) {
            const { backend, budget } = view;
            const protect = fitProtection('criticalkv', policy.scoring.protect, budget.perHead, context);
            const base = await inner.score(view);
            const first = firstStageCount(budget.perHead, firstStage);
            const places = bestFirst(backend, raiseProtected(view, base, protect));
            const chosen = backend.zip(backend.zip(places, first, 'less'), secured, 'mul');
            return backend.zip(weighted(view, base, epsilon), chosen, 'add');
          },
        };
      },
    }),
});

/** CriticalAdaKV (specification 18, 37): head budgets as AdaKV's hard minimum shares them, then two stages in each head. */
export const criticalAdakv = definePolicy({
  name: 'critical-adakv',
  title: 'CriticalAdaKV',
  idea: 'Share the layer’s budget over heads by their scores, then fill each head’s budget in CriticalKV’s two stages.',
  paper,
  parameters: {
    ...shared,
    floor: {
      kind: 'number',
      default: 0.2,
      min: 0,
      max: 1,
      unit: 'share of the even budget',
      description: 'Best entries that every head keeps in any case.',
    },
  },
  observes: 'what the wrapped policy observes, values and the output projection',
  costs: 'those of criticalkv, and one top-k over kvHeads · n scores',
  phases: ['prefill'],
  profiles: {
    kvpress: { description: 'kvpress CriticalAdaKVPress.', parameters: { firstStage: 0.5, epsilon: 1e-4, floor: 0.2 } },
  },
  create: ({ policy, firstStage, epsilon, floor }) => ({
    ragged: true,
    begin(context) {
      const protections = layerProtections('critical-adakv', policy.scoring, context);
      const run = withProjection(policy.scoring.start(context));
      return scoredRun(policy.name, run, policy.scoring.allocate(context), (view, base) => {
        const { backend, length, model, budget } = view;
        const protect: Protection = protections[view.layer] ?? policy.scoring.protect;
        const raised = raiseProtected(view, base, protect);
        const places = bestFirst(backend, raised);
        const safe = floor > 0 ? Math.max(1, Math.trunc(budget.perHead * floor)) : 0;
        const safeguarded = backend.zip(backend.zip(places, safe, 'less'), secured, 'mul');
        const total = model.kvHeads * budget.perHead;
        const counts = backend.topShares(backend.zip(raised, safeguarded, 'add'), total);
        // First stage per head: a share of its own count, entries by place.
        const shares = backend.map(backend.zip(backend.toFloat(counts), firstStage, 'mul'), 'floor');
        const first = backend.zip(backend.zip(places, backend.reshape(shares, [model.kvHeads, 1]), 'less'), secured, 'mul');
        const chosen = backend.zip(first, safeguarded, 'max');
        const scores = backend.zip(weighted(view, base, epsilon), chosen, 'add');
        return backend.top(scores, {
          keep: { counts, total, max: Math.min(length, total) },
          protectFirst: protect.first,
          protectLast: protect.last,
        });
      });
    },
  }),
});

function firstStageCount(perHead: number, share: number): number {
  return share > 0 ? Math.max(1, Math.trunc(perHead * share)) : 0;
}

function withProjection(run: ScoreRun): ScoreRun {
  const { decode: _decode, ...prefill } = run;
  return { ...prefill, observe: { ...run.observe, outputProjection: true } };
}

/** (score + ε) · mean over the group of ‖V Wₒ‖₁: f32 [kvHeads, n]. */
function weighted(view: LayerView, scores: Tensor, epsilon: number): Tensor {
  return view.backend.zip(view.backend.zip(scores, epsilon, 'add'), projectedValueNorms(view), 'mul');
}

/** mean over the query heads of a group of ‖V[g, j] Wₒ[h]‖₁: f32 [kvHeads, n]. */
export function projectedValueNorms(view: LayerView): Tensor {
  const { backend, cache, model } = view;
  const norms = backend.projectedNorms(backend.kvRead(cache, 'values'), observed(view, 'outputProjection'), 'l1');
  return reduceGroups(backend, norms, model.kvHeads);
}
