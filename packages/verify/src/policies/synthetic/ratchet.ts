import { gatherView } from '@kvsift/policy';
import { featureMaps, featureRows, mixed, ratchet, stateOf } from '@kvsift/policy-ratchet';
import { streamingLlm } from '@kvsift/policy-streaming-llm';
import { contextOf, layerView } from '@kvsift/policy-testkit';
import { scoped, type Tensor } from '@kvsift/tensor';
import { z } from 'zod';
import type { Finding } from '../../forward/compare.js';
import type { Family } from '../case-file.js';
import { sameScores } from '../compare.js';
import { entries } from './scored.js';

const schema = z.strictObject({
  case: z.string(),
  input: z.string(),
  keyScale: z.number(),
  sinks: z.int(),
  recent: z.int(),
  safeLimit: z.number(),
  features: z.literal('F1'),
});

const tolerance = { relative: 1e-4, absolute: 1e-5 };

/** NTK-KV's feature map, state, and outputs with and without the safe rule. */
export const ratchetFamily: Family<z.infer<typeof schema>> = {
  schema,
  async check({ backend: device, golden }, values) {
    using scope = scoped(device);
    const { backend } = scope;
    const name = (part: string) => `${values.case}.${part}`;
    const k = await golden.read(name('k'));
    const q = await golden.read(name('q'));
    const [kvHeads = 0, length = 0, headDim = 0] = k.shape;
    const [queryHeads = 0, steps = 0] = q.shape;
    const inputs = {
      queryHeads,
      kvHeads,
      headDim,
      length,
      queries: new Float32Array(queryHeads * length * headDim),
      keys: await golden.floats(name('k')),
      values: await golden.floats(name('v')),
    };
    const run = ratchet({ policy: streamingLlm({ sinks: values.sinks }), limit: values.safeLimit }).begin(
      contextOf(inputs, { budget: entries(values.sinks + values.recent) }),
    );
    const budget = run.budgets[0] ?? { perHead: 0, total: 0 };
    const view = layerView(backend, inputs, { budget, observe: run.observe });
    const decision = await run.select({ ...view, keep: scope.keep });
    if (decision === 'all' || 'selection' in decision) return { decision: 'expected a selection' };
    const kept = {
      ...view.cache,
      keys: backend.empty('f32', [kvHeads * budget.perHead, headDim]),
      values: backend.empty('f32', [kvHeads * budget.perHead, headDim]),
      lengths: backend.upload(new Int32Array(kvHeads), 'i32', [kvHeads]),
      starts: backend.upload(
        Int32Array.from({ length: kvHeads }, (_, head) => head * budget.perHead),
        'i32',
        [kvHeads],
      ),
      maxLength: budget.perHead,
    };
    backend.kvGather(view.cache, decision, kept);
    const gone = length - values.sinks - values.recent;
    const evicted = backend.selection(
      Int32Array.from({ length: kvHeads * gone }, (_, index) => values.sinks + (index % gone)),
      Int32Array.from({ length: kvHeads + 1 }, (_, head) => head * gone),
    );
    const state = stateOf(view, gatherView(backend, view.cache, evicted), featureMaps.code);
    const found = { oE: [], lse: [], out: [], outUnsafe: [], phiQ: [] } as Record<string, Float32Array[]>;
    for (let step = 0; step < steps; step++) {
      const row = stepRow(await golden.floats(name('q')), queryHeads, steps, headDim, step);
      const query = backend.upload(row, 'f32', [1, queryHeads * headDim]);
      const { output, logSumExp } = backend.attention(query, [{ view: kept, rows: 1 }], { ...view.attention, logSumExp: true });
      if (logSumExp === undefined) return { lse: 'the backend returned none' };
      found.oE?.push(await numbers(output));
      found.lse?.push(await numbers(logSumExp));
      found.out?.push(await numbers(run.compensation?.correct(0, backend, query, output, logSumExp) ?? output));
      found.outUnsafe?.push(
        await numbers(mixed(backend, featureMaps.code, state, query, output, logSumExp, { kind: 'none', limit: 0 })),
      );
      found.phiQ?.push(await numbers(featureRows(backend, featureMaps.code, backend.reshape(query, [queryHeads, 1, headDim]))));
    }
    const whole = await numbers(state);
    const columns = headDim + 1;
    const at = (keep: (column: number) => boolean) => whole.filter((_, index) => keep(index % columns));
    run.dispose();
    const findings: Record<string, Finding> = {
      state: sameScores(
        at((column) => column < headDim),
        await golden.floats(name('state')),
        kvHeads,
        { relative: 1e-4, absolute: 1e-4 },
      ),
      keySum: sameScores(
        at((column) => column === headDim),
        await golden.floats(name('keySum')),
        kvHeads,
        tolerance,
      ),
    };
    for (const [part, rows] of Object.entries(found)) {
      const expected = await golden.floats(name(part));
      const ours = byHead(rows, queryHeads);
      findings[part] =
        part === 'out'
          ? withFlips(
              ours,
              expected,
              byHead(found.oE ?? [], queryHeads),
              byHead(found.outUnsafe ?? [], queryHeads),
              values.safeLimit,
            )
          : sameScores(ours, expected, queryHeads, tolerance);
    }
    return findings;
  },
};

async function numbers(tensor: Tensor): Promise<Float32Array> {
  return (await tensor.read()) as Float32Array;
}

/** Query row [heads · width] of one step of [heads, steps, width]. */
function stepRow(x: Float32Array, heads: number, steps: number, width: number, step: number): Float32Array {
  const row = new Float32Array(heads * width);
  for (let head = 0; head < heads; head++)
    row.set(x.subarray((head * steps + step) * width, (head * steps + step + 1) * width), head * width);
  return row;
}

/** [steps][heads · width] as [heads, steps, width]. */
function byHead(rows: readonly Float32Array[], heads: number): Float32Array {
  const width = (rows[0]?.length ?? 0) / heads;
  const out = new Float32Array(rows.length * heads * width);
  rows.forEach((row, step) => {
    for (let head = 0; head < heads; head++)
      out.set(row.subarray(head * width, (head + 1) * width), (head * rows.length + step) * width);
  });
  return out;
}

/** Components whose ratio to the exact part is near the rule's ends may fall on either side. */
function withFlips(
  ours: Float32Array,
  expected: Float32Array,
  exact: Float32Array,
  unsafe: Float32Array,
  limit: number,
): Finding {
  const near = (index: number) => {
    const ratio = (unsafe[index] ?? 0) / (exact[index] ?? 1);
    return Math.min(Math.abs(ratio - limit), Math.abs(ratio - (2 - limit))) < 1e-4;
  };
  const settled = expected.map((value, index) => (near(index) ? (ours[index] ?? value) : value));
  return sameScores(ours, settled, 1, tolerance);
}
