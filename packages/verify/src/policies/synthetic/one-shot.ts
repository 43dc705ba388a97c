import { h2o } from '@kvsift/policy-h2o';
import { knorm } from '@kvsift/policy-knorm';
import { streamingLlm } from '@kvsift/policy-streaming-llm';
import { evict, type LayerInputs } from '@kvsift/policy-testkit';
import { z } from 'zod';
import { closeRelative, type Finding } from '../../forward/compare.js';
import type { Family } from '../case-file.js';
import { rowsOf, sameKept, sameNumbers } from '../compare.js';
import { checkScored, entries, inputFor } from './scored.js';
import { gap } from './snapkv.js';

const h2oSchema = z.strictObject({
  case: z.string(),
  input: z.string(),
  window: z.int(),
  budget: z.int(),
  variant: z.enum(['ntk', 'causal']),
  gap,
});

/** NTK-KV's H2O per query head with its own mask, and the causal formula per KV head. */
export const h2oFamily: Family<z.infer<typeof h2oSchema>> = {
  schema: h2oSchema,
  async check(run, { case: name, input, window, budget, variant }) {
    const inputs = await inputFor(run, input, variant === 'ntk');
    const policy = h2o({ window, mask: variant === 'ntk' ? 'window' : 'causal' });
    return checkScored(run, { case: name, policy, inputs, budget: entries(budget) });
  },
};

const streamingSchema = z.strictObject({
  case: z.string(),
  input: z.string(),
  budget: z.int(),
  sink: z.int(),
  repository: z.enum(['ntk', 'adakv']),
});

/** Sinks and recents; the golden has one row per head of the repository. */
export const streamingFamily: Family<z.infer<typeof streamingSchema>> = {
  schema: streamingSchema,
  async check({ backend, golden, input }, values) {
    const inputs = await input(values.input);
    const { shape, values: kept } = await golden.read(`${values.case}.kept`);
    const result = await evict(backend, streamingLlm({ sinks: values.sink }), inputs, { budget: entries(values.budget) });
    const expected = rowsOf(kept, shape[0] ?? 0);
    return {
      kept: sameKept(
        expected.map((_, head) => result.kept[head % inputs.kvHeads] ?? []),
        expected,
      ),
    };
  },
};

const l2normSchema = z.strictObject({
  case: z.string(),
  input: z.string(),
  keepRatio: z.number(),
  pruneAfter: z.int(),
  skipLayers: z.array(z.int()),
  kept: z.array(z.int()),
});

/** Three layers; layer l holds the input's keys rolled by l tokens. */
export const l2normFamily: Family<z.infer<typeof l2normSchema>> = {
  schema: l2normSchema,
  async check({ backend, golden, input }, values) {
    const { keepRatio, pruneAfter, skipLayers } = values;
    const inputs = await input(values.input);
    const norms = await golden.floats(`norms.${values.input}`);
    const findings: Record<string, Finding> = {
      norms: closeRelative(keyNorms(inputs), norms, 1e-4, [inputs.kvHeads, inputs.length]),
    };
    const counts: number[] = [];
    for (let layer = 0; layer < values.kept.length; layer++) {
      const result = await evict(backend, knorm({ keepRatio, pruneAfter, skipLayers }), rolled(inputs, layer), {
        budget: entries(inputs.length - 1),
        layer,
        layers: values.kept.length,
      });
      const expected = rowsOf(await golden.integers(`${values.case}.kept.${layer}`), inputs.kvHeads);
      const scores = rolledRows(norms, inputs.kvHeads, layer).map((norm) => -norm);
      findings[`layer ${layer}`] = sameKept(result.kept, expected, { scores });
      counts.push(result.kept[0]?.length ?? 0);
    }
    return { ...findings, counts: sameNumbers(counts, values.kept) };
  },
};

function keyNorms({ keys, headDim, length, kvHeads }: LayerInputs): Float32Array {
  return Float32Array.from({ length: kvHeads * length }, (_, row) =>
    Math.hypot(...keys.subarray(row * headDim, (row + 1) * headDim)),
  );
}

function rolled(inputs: LayerInputs, by: number): LayerInputs {
  return { ...inputs, keys: rolledRows(inputs.keys, inputs.kvHeads, by * inputs.headDim) };
}

/** Each of `rows` rows rotated to the right. */
function rolledRows(x: Float32Array, rows: number, by: number): Float32Array {
  const width = x.length / rows;
  const out = new Float32Array(x.length);
  x.forEach((value, index) => {
    const row = Math.floor(index / width);
    out[row * width + ((index + by) % width)] = value;
  });
  return out;
}
