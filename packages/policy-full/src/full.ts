import { definePolicy, uniformLayer } from '@kvsift/policy';

/** Full: nothing is evicted, whatever the budget. */
export const full = definePolicy({
  name: 'full',
  title: 'Full cache',
  idea: 'Keep everything. The budget is ignored.',
  source: 'the reference point of every comparison',
  parameters: {},
  budget: 'own',
  observes: 'nothing',
  costs: 'none',
  phases: ['prefill', 'decode'],
  create: () => ({
    ragged: false,
    ignoresBudget: true,
    begin: ({ model, promptLength }) => ({
      observe: {},
      budgets: Array.from({ length: model.layers }, () => uniformLayer(promptLength, model)),
      select: () => 'all' as const,
      dispose: () => {},
      [Symbol.dispose]: () => {},
    }),
  }),
});
