import { snapkv } from '@kvsift/policy-snapkv';
import { z } from 'zod';
import type { Family } from '../case-file.js';
import { checkScored, entries, inputFor } from './scored.js';

export const pooling = z
  .enum(['avgpool', 'maxpool'])
  .transform((name) => (name === 'avgpool' ? ('average' as const) : ('max' as const)));
export const gap = z.array(z.number().nullable()).optional();

const schema = z.strictObject({
  case: z.string(),
  input: z.string(),
  window: z.int(),
  kernel: z.int(),
  pooling,
  budget: z.int(),
  reduce: z.enum(['mean', 'max']).nullable(),
  untouched: z.boolean(),
  gap,
});

/** AdaKV repository, SnapKVCluster. */
export const snapkvFamily: Family<z.infer<typeof schema>> = {
  schema,
  async check(run, values) {
    const inputs = await inputFor(run, values.input, values.reduce === null);
    const policy = snapkv({
      window: values.window,
      kernelSize: values.kernel,
      pooling: values.pooling,
      groupReduction: values.reduce ?? 'mean',
    });
    return checkScored(run, { case: values.case, policy, inputs, budget: entries(values.budget) });
  },
};
