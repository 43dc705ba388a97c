import { createReferenceBackend } from '@kvsift/backend-reference';
import { knorm } from '@kvsift/policy-knorm';
import { conformance, contextOf, layerView, randomInputs } from '@kvsift/policy-testkit';
import { scoped } from '@kvsift/tensor';
import { describe, expect, it } from 'vitest';
import { channelScores } from './channels.js';
import { think } from './think.js';

const backend = createReferenceBackend();
const inputs = randomInputs(7, { length: 48 });
const { queryHeads, kvHeads, headDim, length } = inputs;

/** Keys f32 [kvHeads, length, headDim] with the channels outside each head's set at zero, but in the recent entries. */
function pruned(keep: readonly (readonly number[])[], recent: number): Float32Array {
  return inputs.keys.map((value, index) => {
    const head = Math.floor(index / (length * headDim));
    const slot = Math.floor(index / headDim) % length;
    return slot >= length - recent || keep[head]?.includes(index % headDim) ? value : 0;
  });
}

/** Attention of one query row over entries, in float64. */
function attend(q: Float32Array, keys: Float32Array): number[] {
  return Array.from({ length: queryHeads }, (_, head) => {
    const base = Math.floor((head * kvHeads) / queryHeads) * length * headDim;
    const logits = Array.from({ length }, (__, slot) => {
      let sum = 0;
      for (let c = 0; c < headDim; c++) sum += (q[head * headDim + c] ?? 0) * (keys[base + slot * headDim + c] ?? 0);
      return sum / Math.sqrt(headDim);
    });
    const most = Math.max(...logits);
    const weights = logits.map((logit) => Math.exp(logit - most));
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    return Array.from({ length: headDim }, (__, c) =>
      weights.reduce((sum, weight, slot) => sum + (weight / total) * (inputs.values[base + slot * headDim + c] ?? 0), 0),
    );
  }).flat();
}

describe('think', () => {
  const subject = { definition: think.definition, make: () => think({ policy: knorm(), window: 8, recent: 8 }) };
  for (const { name, run } of conformance(subject, createReferenceBackend)) it(name, run);

  it('scores channels as the vectors of specification 35 say', async () => {
    const [heads, groups, n, d] = [4, 2, 12, 4];
    const q = new Float32Array(n * heads * d);
    const k = new Float32Array(groups * n * d);
    for (let j = 0; j < n; j++)
      for (let c = 0; c < d; c++) {
        for (let h = 0; h < heads; h++) q[(j * heads + h) * d + c] = Math.sin(0.9 + 1.7 * h + 0.61 * j + 2.3 * c);
        for (let g = 0; g < groups; g++)
          k[(g * n + j) * d + c] = Math.cos(0.3 + 1.1 * g + 0.83 * j + 1.9 * c) * (1 + 0.25 * ((7 * j + 3 * g) % 5));
      }
    const scores = channelScores(backend, backend.upload(q, 'f32', [n, heads * d]), backend.upload(k, 'f32', [groups, n, d]), 3);
    const expected = [0.541053, 0.539699, 0.626369, 0.5406, 0.493445, 0.634855, 0.551333, 0.614403];
    for (const [index, value] of (await scores.read()).entries()) expect(value).toBeCloseTo(expected[index] ?? 0, 5);
  });

  it('attends as with the pruned channels at zero, and holds what it says', async () => {
    using scope = scoped(backend);
    const recent = 8;
    const context = contextOf(inputs, { budget: { kind: 'share', numerator: 1, denominator: 1 } });
    using run = think({ ratio: 0.5, window: 8, recent }).begin(context);
    const budget = run.budgets[0] ?? { perHead: 0, total: 0 };
    expect(budget.perHead).toBe(recent);
    const before = backend.memory().bytes;
    const view = layerView(scope.backend, inputs, { budget, observe: run.observe });
    const decision = await run.select({ ...view, keep: scope.keep });
    if (decision === 'all' || !('selection' in decision)) throw new Error('expected survivors');
    expect([...(await decision.selection.indices.read())]).toEqual(
      Array.from({ length: kvHeads * recent }, (_, at) => length - recent + (at % recent)),
    );
    const old = length - recent;
    expect(run.held?.()).toEqual({ entries: kvHeads * old, bytes: 4 * kvHeads * old * (headDim / 2 + headDim) });

    const scores = await channelScores(
      scope.backend,
      scope.backend.slice(view.queries ?? view.cache.keys, 0, 0, 8),
      scope.backend.kvRead(view.cache, 'keys'),
      8,
    ).read();
    const keep = Array.from({ length: kvHeads }, (_, head) => {
      const own = [...scores.subarray(head * headDim, (head + 1) * headDim)];
      return own
        .map((score, channel) => ({ score, channel }))
        .sort((a, b) => b.score - a.score)
        .slice(0, headDim / 2)
        .map(({ channel }) => channel);
    });
    const row = randomInputs(9, { length: 1 }).queries;
    const q = scope.backend.upload(row, 'f32', [1, queryHeads * headDim]);
    const cut = (x: Float32Array) =>
      Float32Array.from(
        { length: kvHeads * recent * headDim },
        (_, at) => x[Math.floor(at / (recent * headDim)) * length * headDim + old * headDim + (at % (recent * headDim))] ?? 0,
      );
    const cached = { ...inputs, length: recent, keys: cut(inputs.keys), values: cut(inputs.values) };
    const small = layerView(scope.backend, cached, { budget, observe: {} });
    const { output, logSumExp } = scope.backend.attention(q, [{ view: small.cache, rows: 1 }], {
      ...small.attention,
      logSumExp: true,
    });
    if (logSumExp === undefined) throw new Error('no log-sum-exp');
    const joined = run.compensation?.correct(0, scope.backend, q, output, logSumExp);
    const expected = attend(row, pruned(keep, recent));
    for (const [index, value] of ((await joined?.read()) ?? []).entries()) expect(value).toBeCloseTo(expected[index] ?? 0, 5);
    run.dispose();
    scope[Symbol.dispose]();
    expect(backend.memory().bytes).toBe(before);
  });

  it('is the wrapped policy where nothing is dropped, and refuses ragged ones', () => {
    const context = contextOf(inputs, { budget: { kind: 'tokens', tokens: 12 } });
    using run = think({ policy: knorm(), ratio: 0.1 }).begin(context);
    expect(run.compensation).toBeUndefined();
    expect(() => think({ policy: { ...knorm(), ragged: true } })).toThrow(/same number in every head/);
  });
});
