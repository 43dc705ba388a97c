import { definePolicy, keepBest, type LayerBudget, type SequenceContext, uniformLayer, withBudgets } from '@kvsift/policy';
import { snapkv } from '@kvsift/policy-snapkv';
import { exactPyramid, kvpressPyramid, steppedPyramid } from './budgets.js';

/** PyramidKV (specification 7): budgets that fall from layer to layer, for any scored policy. */
export const pyramidkv = definePolicy({
  name: 'pyramidkv',
  title: 'PyramidKV',
  idea: 'Early layers spread their attention, late layers focus it. Give early layers more entries and late layers fewer, on a straight line.',
  paper: {
    title: 'PyramidKV: Dynamic KV Cache Compression based on Pyramidal Information Funneling',
    authors: 'Cai, Zhang, Gao, Liu, Li, Liu, Lu, Xiong, Dong, Hu, Xiao',
    venue: 'COLM 2025',
    url: 'https://arxiv.org/abs/2406.02069',
  },
  parameters: {
    policy: { kind: 'scored', default: () => snapkv(), description: 'What scores the entries.' },
    beta: {
      kind: 'number',
      default: 20,
      min: 1,
      description: 'The last layer gets about 1/beta of the average; 1 makes all layers equal.',
    },
    form: {
      kind: 'choice',
      choices: ['exact', 'stepped', 'stepped-always', 'kvpress'] as const,
      default: 'exact',
      description:
        'exact: the sum over layers is the budget. stepped: KVCache-Factory, integer steps. stepped-always: AdaKV repository. kvpress: window inside the line.',
    },
  },
  observes: 'what the wrapped policy observes',
  costs: 'those of the wrapped policy',
  phases: ['prefill', 'decode'],
  profiles: {
    reference: { description: 'KVCache-Factory.', parameters: { form: 'stepped', beta: 20 } },
    adakv: { description: 'AdaKV repository.', parameters: { form: 'stepped-always', beta: 20 } },
    kvpress: { description: 'kvpress PyramidKVPress.', parameters: { form: 'kvpress', beta: 20 } },
  },
  deviations: [
    'Default budgets sum to the budget exactly; the references floor the step and exceed it by up to (layers − 1) / 2 entries per layer.',
    'Budgets depend on this prompt only; the AdaKV repository freezes those of the first prompt.',
  ],
  create: ({ policy, beta, form }) =>
    keepBest(
      'pyramidkv',
      withBudgets(policy, (context) =>
        pyramidBudgets(context, policy.scoring.allocate(context), policy.scoring.protect, beta, form),
      ),
    ),
});

function pyramidBudgets(
  context: SequenceContext,
  uniform: readonly LayerBudget[],
  protect: { readonly first: number; readonly last: number },
  beta: number,
  form: 'exact' | 'stepped' | 'stepped-always' | 'kvpress',
): LayerBudget[] {
  const { model, promptLength: tokens, budget } = context;
  const window = protect.first + protect.last;
  const average = Math.floor(uniform.reduce((sum, { perHead }) => sum + perHead, 0) / model.layers);
  if (average >= tokens || average <= window) return [...uniform];
  const pyramid = { layers: model.layers, pastBudget: average - window, window, tokens, beta };
  const perLayer =
    form === 'exact'
      ? exactPyramid(pyramid)
      : form === 'kvpress'
        ? kvpressPyramid(
            pyramid,
            budget.kind === 'share' ? tokens * (1 - (budget.denominator - budget.numerator) / budget.denominator) : average,
          )
        : steppedPyramid(pyramid, form === 'stepped');
  return perLayer.map((perHead) => uniformLayer(perHead, model));
}
