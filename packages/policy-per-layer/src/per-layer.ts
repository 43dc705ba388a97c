import {
  definePolicy,
  keepBest,
  type LayerBudget,
  resolveBudgets,
  type SequenceContext,
  uniformLayer,
  withBudgets,
} from '@kvsift/policy';
import { KvsiftError } from '@kvsift/tensor';

/** Per-layer budgets (specification 29) for any scored policy; eviction is layer by layer in any case. */
export const perLayer = definePolicy({
  name: 'per-layer',
  title: 'Per-layer budgets',
  idea: 'Give each layer its own budget: by weights that share the whole budget, or as the share of the prompt that each layer keeps.',
  source: 'kvpress PerLayerCompressionPress, NACL README (progressive eviction)',
  parameters: {
    policy: { kind: 'scored', description: 'What scores the entries.' },
    weights: {
      kind: 'numbers',
      default: [],
      min: 0,
      description: 'One per layer; layers share the whole budget in proportion, to the entry.',
    },
    keep: {
      kind: 'numbers',
      default: [],
      min: 0,
      max: 1,
      unit: 'shares of the prompt',
      description: 'One per layer, in place of the budget.',
    },
  },
  observes: 'what the wrapped policy observes',
  costs: 'those of the wrapped policy',
  phases: ['prefill', 'decode'],
  create: ({ policy, weights, keep }) => {
    if ((weights.length === 0) === (keep.length === 0)) {
      throw new KvsiftError('policy_invalid', 'per-layer: give either weights or keep, one number per layer');
    }
    if (weights.length > 0 && weights.every((weight) => weight === 0)) {
      throw new KvsiftError('policy_invalid', 'per-layer: weights must have a number above 0, not zeros only');
    }
    return keepBest(
      'per-layer',
      withBudgets(policy, (context) => (keep.length > 0 ? kept(context, keep) : weighted(context, weights))),
    );
  },
});

function demandLayers({ model }: SequenceContext, list: readonly number[], name: string): void {
  if (list.length === model.layers) return;
  throw new KvsiftError(
    'policy_invalid',
    `per-layer: ${name} must have ${model.layers} numbers, one per layer, not ${list.length}`,
    {
      expected: model.layers,
      actual: list.length,
    },
  );
}

function kept(context: SequenceContext, shares: readonly number[]): LayerBudget[] {
  demandLayers(context, shares, 'keep');
  return shares.map((share) => uniformLayer(Math.max(1, Math.floor(context.promptLength * share + 1e-9)), context.model));
}

/** Largest remainder: the sum over layers is that of the uniform budgets, no layer gets more than the prompt or less than one entry. */
function weighted(context: SequenceContext, weights: readonly number[]): LayerBudget[] {
  demandLayers(context, weights, 'weights');
  const { promptLength, model } = context;
  const whole = resolveBudgets(context).reduce((sum, { perHead }) => sum + Math.min(perHead, promptLength), 0);
  const counts = weights.map(() => 1);
  let left = whole - counts.length;
  let open = weights.map((_, layer) => layer);
  // Layers that reach the prompt pass on what they cannot hold.
  while (left > 0 && open.length > 0) {
    const weight = open.reduce((sum, layer) => sum + (weights[layer] ?? 0), 0) || open.length;
    const shares = open.map((layer) => {
      const exact = (left * ((weights[layer] ?? 0) || (weight === open.length ? 1 : 0))) / weight;
      return { layer, whole: Math.floor(exact), rest: exact - Math.floor(exact) };
    });
    let missing = left - shares.reduce((sum, share) => sum + share.whole, 0);
    for (const share of shares.sort((a, b) => b.rest - a.rest || a.layer - b.layer)) {
      const count = counts[share.layer] ?? 0;
      const given = Math.min(promptLength - count, share.whole + (missing > 0 ? 1 : 0));
      if (missing > 0) missing--;
      counts[share.layer] = count + given;
      left -= given;
    }
    const before = open.length;
    open = open.filter((layer) => (counts[layer] ?? 0) < promptLength);
    if (open.length === before) break;
  }
  return counts.map((perHead) => uniformLayer(perHead, model));
}
