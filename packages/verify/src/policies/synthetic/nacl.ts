import { drawWeights, drawWithoutReplacement, nacl, proxyScores, ratioCounts } from '@kvsift/policy-nacl';
import { evict, viewNumbers } from '@kvsift/policy-testkit';
import { z } from 'zod';
import type { Finding } from '../../forward/compare.js';
import type { Family } from '../case-file.js';
import { rowsOf, sameKept, sameNumbers, sameScores } from '../compare.js';
import { entries, inputFor } from './scored.js';

const schema = z.strictObject({
  case: z.string(),
  input: z.string(),
  proxyRatio: z.number(),
  sinks: z.int(),
  proxyKeep: z.number(),
  randomKeep: z.number(),
  protect: z.number(),
  counts: z.strictObject({ proxies: z.int(), recent: z.int(), top: z.int(), random: z.int() }),
  rounds: z.array(z.array(z.int())),
  uniforms: z.array(z.array(z.number())),
  probabilities: z.string(),
});

/** NACL release per query head: scores, the deterministic part, the law of the draw, and that our sampler keeps to counts and parts. */
export const naclFamily: Family<z.infer<typeof schema>> = {
  schema,
  async check(run, values) {
    const { backend, golden } = run;
    const { counts, sinks } = values;
    const inputs = await inputFor(run, values.input, true);
    const ratios = [values.protect, values.proxyKeep, values.randomKeep];
    const ours = ratioCounts(inputs.length, { sinks, ratios });
    const scores = await golden.floats(`${values.case}.scores`);
    const heads = inputs.kvHeads;
    const kept = rowsOf(await golden.integers(`${values.case}.kept`), heads);
    const drawn = rowsOf(await golden.integers(`${values.case}.random`), heads);
    const findings: Record<string, Finding> = {
      counts: sameNumbers(
        [Math.trunc(values.proxyRatio * inputs.length), ours.protect.last, ours.top, ours.random],
        [counts.proxies, counts.recent, counts.top, counts.random],
      ),
      scores: sameScores(
        await viewNumbers(backend, inputs, { queries: 'all' }, (view) => proxyScores(view, counts.proxies)),
        scores,
        heads,
      ),
    };
    const policy = nacl({ proxies: values.proxyRatio, sinks, ratios, sampler: 'rounds' });
    const result = await evict(backend, policy, inputs, { budget: entries(1) });
    for (let head = 0; head < heads; head++) {
      const own = scores.subarray(head * inputs.length, (head + 1) * inputs.length);
      const random = drawn[head] ?? [];
      const fixed = (kept[head] ?? []).filter((slot) => !random.includes(slot));
      const present = new Set(result.kept[head]);
      // Ours drew other numbers: what is not drawn must be there, and the count must agree.
      findings[`fixed ${head}`] = fixed.every((slot) => present.has(slot)) ? undefined : `head ${head} lost a fixed entry`;
      findings[`count ${head}`] = sameNumbers([present.size], [kept[head]?.length ?? 0]);
      const taken = new Set(fixed);
      const rest = Array.from(own.keys()).filter((slot) => !taken.has(slot));
      const uniforms = [...(values.uniforms[head] ?? [])];
      const weights = drawWeights(
        rest.map((slot) => own[slot] ?? 0),
        1,
      );
      const redrawn = drawWithoutReplacement(weights, random.length, () => uniforms.shift() ?? 0).map((at) => rest[at] ?? -1);
      findings[`draw ${head}`] = sameKept([[...redrawn].sort((a, b) => a - b)], [[...random].sort((a, b) => a - b)], {
        slack: 0,
      });
    }
    return findings;
  },
};
