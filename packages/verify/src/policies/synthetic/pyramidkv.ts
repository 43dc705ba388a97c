import { join } from 'node:path';
import { exactPyramid, kvpressPyramid, pyramidkv, steppedPyramid } from '@kvsift/policy-pyramidkv';
import { snapkv } from '@kvsift/policy-snapkv';
import { z } from 'zod';
import type { SuiteRun } from '../../suite.js';
import { type Family, readJson, worst } from '../case-file.js';
import { sameNumbers } from '../compare.js';
import { checkScored, entries, inputFor } from './scored.js';
import { gap, pooling } from './snapkv.js';

const schema = z.strictObject({
  case: z.string(),
  input: z.string(),
  layers: z.int(),
  layer: z.int(),
  budget: z.int(),
  window: z.int(),
  kernel: z.int(),
  pooling,
  beta: z.number(),
  kept: z.int(),
  gap,
});

/** NTK-KV repository, per query head. */
export const pyramidkvFamily: Family<z.infer<typeof schema>> = {
  schema,
  async check(run, values) {
    const { window, kernel, beta, layer, layers } = values;
    const inner = snapkv({ window, kernelSize: kernel, pooling: values.pooling, windowReduction: 'sum' });
    return checkScored(run, {
      case: values.case,
      policy: pyramidkv({ policy: inner, beta, form: 'stepped' }),
      inputs: await inputFor(run, values.input, true),
      budget: entries(values.budget),
      layer,
      layers,
    });
  },
};

const tableSchema = z.object({
  layers: z.int(),
  budget: z.int(),
  window: z.int(),
  beta: z.number(),
  tokens: z.int(),
});

/** Entries per layer of three implementations, and that our exact form spends the budget exactly. */
export async function checkPyramidBudgets(run: SuiteRun, file: string): Promise<void> {
  const { tables } = z
    .object({ tables: z.array(z.record(z.string(), z.unknown())) })
    .parse(await readJson(join(run.folder, file)));
  for (const [index, item] of tables.entries()) {
    const { layers, budget, window, beta, tokens } = tableSchema.parse(item);
    const pyramid = { layers, pastBudget: budget - window, window, tokens, beta };
    for (const [name, expected] of Object.entries(item)) {
      if (name in tableSchema.shape) continue;
      await run.tally.run(`pyramid-budgets ${index} ${name}`, () => {
        const ours = table(name, pyramid, budget);
        return ours === undefined ? 'not understood' : worst({ budgets: sameNumbers(ours, z.array(z.int()).parse(expected)) });
      });
    }
    if (tokens <= budget) continue;
    run.tally.check(`pyramid-budgets ${index} exact sum`, exactSum(exactPyramid(pyramid), layers * budget));
  }
}

function table(name: string, pyramid: Parameters<typeof steppedPyramid>[0], budget: number): number[] | undefined {
  const { tokens, layers } = pyramid;
  const removed = /^kvpress-(0\.\d+)$/.exec(name)?.[1];
  if (removed !== undefined) return kvpressPyramid(pyramid, tokens * (1 - Number(removed)));
  if (name === 'kvcacheFactory')
    return tokens < budget ? Array.from({ length: layers }, () => tokens) : steppedPyramid(pyramid, true);
  if (name === 'adakv') return steppedPyramid(pyramid, false).map((entries) => Math.min(tokens, entries));
  return undefined;
}

function exactSum(budgets: readonly number[], expected: number): string | undefined {
  const sum = budgets.reduce((total, entries) => total + entries, 0);
  return sum === expected ? undefined : `sums to ${sum} instead of ${expected}`;
}
