/**
 * Policies that the demo compares, as expressions. The window is 16: a tenth of the budget at 10 %. The demo model reads the last few tokens in its
 * first layer, so policies that may drop them fail for that reason alone; the model card says so.
 */
export const demoPolicies: readonly string[] = [
  'streaming-llm',
  'random',
  'knorm',
  'keydiff',
  'lagkv(sinks=4, lag=16)',
  'tova',
  'h2o(window=16)',
  'observed-attention',
  'expected-attention',
  'snapkv(window=16)',
  'pyramidkv(snapkv(window=16))',
  'adakv(snapkv(window=16))',
  'chunkkv(snapkv(window=16))',
  'criticalkv(snapkv(window=16))',
  'nacl',
];

/** Budgets of the demo: share of the prompt that each policy may keep. */
export const demoBudgets: readonly string[] = ['20%', '5%'];
