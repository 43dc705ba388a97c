import { adakv } from '@kvsift/policy-adakv';
import { pyramidkv } from '@kvsift/policy-pyramidkv';
import { snapkv } from '@kvsift/policy-snapkv';
import { evict, scoresOf } from '@kvsift/policy-testkit';
import { z } from 'zod';
import type { Family } from '../case-file.js';
import { sameKept, sameNumbers, sameScores } from '../compare.js';
import { entries, inputFor } from './scored.js';
import { gap, pooling } from './snapkv.js';

const schema = z.strictObject({
  case: z.string(),
  input: z.string(),
  window: z.int(),
  kernel: z.int(),
  pooling,
  baseCapacity: z.int(),
  floorAlpha: z.number(),
  normalize: z.boolean(),
  reduce: z.enum(['mean', 'max']).nullable(),
  pyramid: z.tuple([z.int(), z.int(), z.number()]).nullable(),
  layerPastBudget: z.int(),
  untouched: z.boolean(),
  gap,
});

/** AdaKV repository, AdaptiveSnapKVCluster: kept entries of all heads one after the other. */
export const adakvFamily: Family<z.infer<typeof schema>> = {
  schema,
  async check({ backend, golden, input }, values) {
    const { window, pyramid } = values;
    const inputs = await inputFor({ backend, golden, input }, values.input, values.reduce === null);
    const scorer = snapkv({
      window,
      kernelSize: values.kernel,
      pooling: values.pooling,
      groupReduction: values.reduce ?? 'mean',
    });
    const [layer, layers, beta] = pyramid ?? [0, 1, 20];
    const inner = pyramid === null ? scorer : pyramidkv({ policy: scorer, beta, form: 'stepped-always' });
    const policy = adakv({ policy: inner, floor: values.floorAlpha, form: 'truncate', normalise: values.normalize });
    const options = { budget: entries(values.baseCapacity), layer, layers };
    const [scores, counts, cu, flat] = await Promise.all([
      golden.floats(`${values.case}.scores`),
      golden.integers(`${values.case}.counts`),
      golden.integers(`${values.case}.cu`),
      golden.integers(`${values.case}.kept`),
    ]);
    const ours = await evict(backend, policy, inputs, options);
    const lengths = ours.kept.map((slots) => slots.length);
    const starts = [0, ...lengths].map((_, head) => lengths.slice(0, head).reduce((sum, length) => sum + length, 0));
    const expected = Array.from(counts, (_, head) => Array.from(flat.subarray(cu[head] ?? 0, cu[head + 1] ?? 0)));
    // A tie in the shares of two heads moves one entry from one to the other.
    const tied = lengths.some((length, head) => length !== counts[head]);
    return {
      pastBudget: sameNumbers([ours.perHeadBudget - window], [values.layerPastBudget]),
      scores: sameScores(await scoresOf(backend, scorer, inputs, options), scores, inputs.kvHeads),
      ...(!tied && { cu: sameNumbers(starts, cu) }),
      kept: sameKept(ours.kept, expected, { scores, slack: tied ? 2 : 0 }),
    };
  },
};
